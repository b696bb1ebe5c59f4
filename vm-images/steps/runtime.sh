# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # the recipe's variables
# A QEMU beside the host's: its packages in a folder, wrappers that run it with its own loader, from anywhere.

readonly qemu_programs="qemu-system-x86_64 qemu-img qemu-io"

# The host's own QEMU is taken when it is new enough.
plan_runtime() {
  local version
  host_qemu=$(command -v qemu-system-x86_64 || true)
  if [ -n "$host_qemu" ]; then
    version=$("$host_qemu" --version | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p')
    if printf '%s\n' "$minimum" "$version" | sort -CV; then
      say "$name: this host's QEMU $version will do"
      return
    fi
    host_qemu=''
  fi
  debian_tree "$suite" "$packages"
}

inputs_runtime() { if [ -n "$host_qemu" ]; then echo "host $host_qemu"; else cat "$tree/vigia/packages.tsv"; fi; }

make_runtime() {
  local program
  mkdir "$work/image/bin"
  if [ -z "$host_qemu" ]; then
    mkdir "$work/image/root"
    cp -al "$tree"/{usr,lib64} "$work/image/root/"
    cp "$tree/vigia/packages.tsv" "$work/packages.tsv"
  fi
  for program in $qemu_programs; do
    if [ -n "$host_qemu" ]; then
      printf '#!/bin/sh\nexec %s "$@"\n' "$(command -v "$program" || echo "/usr/bin/$program")" >"$work/image/bin/$program"
    else
      wrapper "$program" >"$work/image/bin/$program"
    fi
    chmod 755 "$work/image/bin/$program"
  done
  "$work/image/bin/qemu-system-x86_64" -nodefaults -M none -device help 2>/dev/null | grep -q vfio-user-pci ||
    die "$name: this QEMU has no vfio-user-pci"
}

# Finds its folder by its own name, links resolved, so that the image may be moved and libvirt may call it by any path.
wrapper() {
  local firmware=''
  [ "$1" != qemu-system-x86_64 ] ||
    firmware=' -L "$R/usr/share/qemu" -L "$R/usr/share/seabios" -L "$R/usr/lib/ipxe/qemu"'
  cat <<TXT
#!/bin/sh
# A QEMU of another Debian, with that Debian's loader and libraries.
R=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")/root
L=\$R/usr/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR="\$L/qemu"
exec "\$L/ld-linux-x86-64.so.2" --inhibit-cache --library-path "\$L" --argv0 "\$0" "\$R/usr/bin/$1"$firmware "\$@"
TXT
}
