# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # the recipe's variables
# A guest as a disk image, for hosts that boot guests from one: Debian with systemd, cloud-init and GRUB (BIOS and UEFI),
# the recipe's packages, our programs, and the guest side of the image as systemd services.

readonly disk_packages="systemd-sysv udev dbus kmod iproute2 systemd-resolved netbase procps initramfs-tools zstd e2fsprogs
  cloud-init cloud-guest-utils fdisk openssh-server sudo"
readonly boot_packages="grub-pc-bin grub-efi-amd64-bin dosfstools mtools fdisk"

plan_disk() {
  expect_own
  qemu_img=$images/runtime/bin/qemu-img
  [ -x "$qemu_img" ] || qemu_img=$(command -v qemu-img) || die "$name: qemu-img is missing: ./dev images runtime, or apt-get install qemu-utils"
  plan_boot_tools
  debian_system "$suite" "$packages $kernel $disk_packages"
  # shellcheck disable=SC2034  # the manifest's
  release=$(tar -tf "$tree/system.tar" | sed -n 's#^\./boot/vmlinuz-##p')
}

# GRUB and the tools that write partitions, in a folder of their own: neither host nor guest has to have them.
plan_boot_tools() {
  local name=boot-tools
  debian_tree "$suite" "$boot_packages"
  boot_tools=$tree
}

inputs_disk() {
  cat "$tree/vigia/packages.tsv" "$boot_tools/vigia/packages.tsv"
  own_hashes
}

make_disk() {
  local files=$work/files
  mkdir -p "$files"/{usr/lib/vigia,usr/local/bin,etc/{modprobe.d,cloud/cloud.cfg.d,systemd/system},boot/grub}
  put_own "$files" usr/local/bin
  put_disk_side "$files"
  as_root "$here/disk-image" "$tree/system.tar" "$files" "$boot_tools" "$work/disk.raw"
  "$qemu_img" convert -f raw -O qcow2 -c -o compression_type=zstd "$work/disk.raw" "$work/image/disk.qcow2"
  rm -f "$work/disk.raw"
  cp "$tree/vigia/packages.tsv" "$work/packages.tsv"
}

# Owners of files are numbers that only root, or root of a user namespace, may give.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then unshare --mount "$@"; else unshare --mount --map-root-user --map-auto "$@"; fi
}

put_disk_side() {
  local files=$1 module
  cp "$here"/guest/{common.sh,shell-port} "$files/usr/lib/vigia/"
  install -m 755 "$here/guest/disk-setup" "$files/usr/lib/vigia/setup"
  cp "$here"/disk/vigia-{setup,shell}.service "$files/etc/systemd/system/"
  cp "$here/disk/cloud.cfg" "$files/etc/cloud/cloud.cfg.d/90_vigia.cfg"
  echo "$init" >"$files/usr/lib/vigia/image"
  for module in $modules; do echo "$module"; done >"$files/usr/lib/vigia/modules"
  case $init in
    tenant)
      cp "$here"/guest/{tenant-setup,run-script} "$files/usr/lib/vigia/"
      mkdir -p "$files"/etc/nginx "$files/srv/www"
      cp "$here/guest/nginx.conf" "$files/etc/nginx/" ;;
    probe)
      cp "$here"/guest/probe-{setup,service} "$files/usr/lib/vigia/"
      cp "$here/disk/vigia-capture.service" "$files/etc/systemd/system/"
      # The VF is vigia-capture's: the kernel's driver must not be there first, nor cloud-init take it for a network.
      echo "blacklist ixgbevf" >"$files/etc/modprobe.d/vigia.conf" ;;
  esac
  sed "s#@CMDLINE@#$(disk_cmdline)#" "$here/disk/grub.cfg" >"$files/boot/grub/grub.cfg"
}

# On hosts of others the kernel keeps its mitigations and its own ideas of what to do in a panic.
disk_cmdline() {
  local word words="root=LABEL=vigia-root ro console=tty0"
  for word in $cmdline; do
    case "$word" in panic=* | mitigations=* | lsm= | cryptomgr.*) ;; *) words+=" $word" ;; esac
  done
  echo "$words"
}
