# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # the recipe's variables
# The programs of this repository that a recipe names.

expect_own() {
  local program
  for program in $own; do
    [ -x "$programs_of_ours/$program" ] || die "$name: $programs_of_ours/$program is missing: ./dev build"
  done
}

# A program of ours and its libraries, one path a line.
own_files() {
  echo "$programs_of_ours/$1"
  ldd "$programs_of_ours/$1" | sed -n 's#^.*[ \t]\(/[^ ]*\) (0x.*#\1#p'
}

own_hashes() {
  local program
  for program in $own; do own_files "$program" | sort | xargs sha256sum | cut -d' ' -f1; done
}

# put_own ROOT BIN: our programs bring the libraries they were linked with, loader included: the guest's Debian may be
# another than ours.
put_own() {
  local root=$1 bin=$2 program file
  for program in $own; do
    mkdir -p "$root/opt/vigia/lib"
    for file in $(own_files "$program"); do cp -L --preserve=mode "$file" "$root/opt/vigia/lib/"; done
    strip --strip-debug "$root/opt/vigia/lib/$program" 2>/dev/null || true
    # shellcheck disable=SC2016  # the guest's shell expands it
    printf '#!/bin/sh\nexec /opt/vigia/lib/ld-linux-x86-64.so.2 --library-path /opt/vigia/lib /opt/vigia/lib/%s "$@"\n' "$program" \
      >"$root/$bin/$program"
    chmod 755 "$root/$bin/$program"
  done
}
