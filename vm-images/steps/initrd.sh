# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # the recipe's variables
# A guest: the kernel as ELF, and an initrd of the programs that the recipe names, what they link, and our own.

plan_guest() {
  debian_tree "$suite" "$packages $kernel"
  release=$(basename "$tree"/usr/lib/modules/*)
  expect_own
}

inputs_guest() {
  cat "$tree/vigia/packages.tsv"
  own_hashes
}

make_guest() {
  local root=$work/root
  mkdir -p "$root"/usr/{bin,lib/vigia,lib64} "$root"/{dev,proc,sys,run,tmp,root,etc,srv/www,var/lib,var/log}
  ln -s ../run "$root/var/run"
  ln -s bin "$root/usr/sbin"
  ln -s usr/bin "$root/bin"; ln -s usr/bin "$root/sbin"; ln -s usr/lib "$root/lib"; ln -s usr/lib64 "$root/lib64"
  put_programs
  put_modules
  put_guest_side
  put_own "$root" usr/bin
  "$here/kernel-elf" "$tree/boot/vmlinuz-$release" "$work/image/vmlinux"
  pack "$root" >"$work/image/initrd.img"
  package_list >"$work/packages.tsv"
}

# put PATH: copies a file of the Debian tree and, when it is a link, what it leads to. Links stay links: DPDK's drivers
# must not be there twice.
put() {
  local path=$1 target
  while true; do
    mkdir -p "$root/$(dirname "$path")"
    cp -P --preserve=mode "$tree/$path" "$root/$path"
    echo "$path" >>"$work/taken"
    [ -L "$tree/$path" ] || break
    target=$(readlink "$tree/$path")
    case "$target" in
      /*) path=${target#/} ;;
      *) path=$(realpath -ms --relative-to="$tree" "$tree/$(dirname "$path")/$target") ;;
    esac
    case "$path" in lib/* | lib64/* | bin/* | sbin/*) path=usr/$path ;; esac
  done
}

# The libraries of a program or library in the Debian tree, by that tree's own loader.
libraries() {
  local libs=$tree/usr/lib/x86_64-linux-gnu list
  list=$("$libs/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$libs" --list "$1" 2>&1) || {
    case "$list" in *"not a dynamic executable"* | *"statically linked"*) return 0 ;; *) die "$name: libraries of $1: $list" ;; esac
  }
  ! grep 'not found' <<<"$list" >&2 || die "$name: $1 lacks libraries (above)"
  sed -n "s#^.* => $tree/\([^ ]*\) .*#\1#p" <<<"$list"
}

put_programs() {
  local program place path applet link
  put usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
  put usr/lib/x86_64-linux-gnu/libgcc_s.so.1 # the C library loads it by name when a thread is cancelled
  ln -sf ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$root/usr/lib64/ld-linux-x86-64.so.2"
  cp "$tree/usr/bin/busybox" "$root/usr/bin/busybox"
  echo usr/bin/busybox >>"$work/taken"
  for program in $programs; do
    for place in usr/bin usr/sbin none; do [ ! -e "$tree/$place/$program" ] || break; done
    [ $place != none ] || die "$name: no package of the recipe has the program $program"
    cp -L --preserve=mode "$tree/$place/$program" "$root/usr/bin/$program"
    echo "$place/$program" >>"$work/taken"
  done
  for path in $(cd "$tree" && for glob in $files; do compgen -G "$glob" || die "$name: no package has $glob"; done); do put "$path"; done
  # shellcheck disable=SC2044  # no blanks in these names
  for path in $(find "$root/usr/bin" "$root/usr/lib" -type f ! -name busybox ! -name 'ld-linux*'); do
    head -c 4 "$path" | grep -q ELF || continue
    for link in $(libraries "$path"); do [ -e "$root/$link" ] || put "$link"; done
  done
  for applet in $("$root/usr/bin/busybox" --list); do [ -e "$root/usr/bin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"; done
  for link in $links; do ln -sf "${link#*=}" "$root/usr/bin/${link%%=*}"; done
}

# The modules that the recipe names and those they need, uncompressed; those of more_modules are not loaded at boot. A module
# built into the kernel needs no file.
put_modules() {
  local module file to=$root/usr/lib/modules/$release
  depmod -b "$tree/usr" "$release" 2>/dev/null || depmod -b "$tree" "$release"
  mkdir -p "$to"
  : >"$root/usr/lib/vigia/modules"
  for module in $modules $more_modules; do
    file=$(modprobe -d "$tree" -S "$release" --show-depends "${module%\?}") || die "$name: the kernel $release has no module $module"
    case " $modules " in *" $module "*) echo "$module" >>"$root/usr/lib/vigia/modules" ;; esac
    for file in $(sed -n 's/^insmod \([^ ]*\).*/\1/p' <<<"$file"); do
      case "$file" in
        *.xz) xz -dc "$file" >"$to/$(basename "$file" .xz)" ;;
        *.zst) zstd -qdc "$file" >"$to/$(basename "$file" .zst)" ;;
        *) cp "$file" "$to/" ;;
      esac
    done
  done
  cp "$tree/usr/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$to/"
  depmod -b "$root" "$release"
}

put_guest_side() {
  cp "$here"/guest/{common.sh,shell-port} "$root/usr/lib/vigia/"
  install -m 755 "$here/guest/$init.init" "$root/init"
  echo 'root::0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  printf 'root::0:\nnogroup::65534:\n' >"$root/etc/group"
  echo 'nobody:x:65534:65534::/:/bin/false' >>"$root/etc/passwd"
  echo 'nameserver 127.0.0.1' >"$root/etc/resolv.conf"
  mkdir -p "$root/etc/acpi/PWRF"
  printf '#!/bin/sh\nexec poweroff\n' >"$root/etc/acpi/PWRF/00000080"
  chmod 755 "$root/etc/acpi/PWRF/00000080"
  case $init in
    tenant)
      cp "$here"/guest/{tenant-setup,run-script} "$root/usr/lib/vigia/"
      mkdir -p "$root"/etc/nginx "$root"/var/{log,lib}/nginx
      cp "$here/guest/nginx.conf" "$root/etc/nginx/" ;;
    probe) cp "$here"/guest/probe-{setup,service} "$root/usr/lib/vigia/" ;;
  esac
}

# A folder as a compressed cpio archive (with "." itself: the mode of /): sorted names, one time, one owner, no inode numbers of
# this disk.
pack() {
  find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  (cd "$1" && find . -print0 | sort -z |
    cpio --quiet --null --create --format=newc --reproducible --owner=0:0) | zstd -q -9 --single-thread
}

# The packages whose files are in the image, with their versions; the kernel's too.
package_list() {
  { cut -f1 <(grep -E "	(boot/vmlinuz-$release)\$" "$tree/vigia/files.tsv")
    awk -F'\t' 'NR == FNR { sub(/^usr\//, ""); taken[$0] = 1; next } { path = $2; sub(/^usr\//, "", path); if (path in taken) print $1 }' \
      "$work/taken" "$tree/vigia/files.tsv"; } | sort -u | join -t '	' - <(sort "$tree/vigia/packages.tsv")
}
