# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debian packages: unpacked but not configured, in a folder that images copy from; or installed, as a system in a tar file.

# The sources.list lines of a suite, from the mirror that this machine's own apt uses.
# shellcheck disable=SC2154  # backports: the recipe's
sources() {
  local main security suite=$1
  main=${VIGIA_MIRROR:-$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    sed -n 's/^Debian //p' | grep -v security | head -n1)}
  [ -n "$main" ] || die "this machine's apt knows no Debian mirror: run apt-get update, or name one in VIGIA_MIRROR"
  security=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    sed -n 's/^Debian //p' | grep security | head -n1 || true)
  echo "deb $main $suite main"
  [ -z "$security" ] || echo "deb $security $suite-security main"
  [ "$backports" = no ] || echo "deb $main $suite-backports main"
}

# debian_tree SUITE PACKAGES: sets $tree to the folder with the unpacked packages; unpacks them unless that was done before.
# packages.tsv (name, version) and files.tsv (package, file) lie in its folder vigia.
debian_tree() { cached unpack "$1" "$2"; }

# debian_system SUITE PACKAGES: sets $tree to a folder with system.tar, a Debian with these packages installed, and
# vigia/packages.tsv.
debian_system() { cached install_system "$1" "$2"; }

# cached HOW SUITE PACKAGES: what the function HOW makes of them, from the cache if it is there.
cached() {
  local how=$1 suite=$2 packages=$3 key place
  # shellcheck disable=SC2086  # words
  key=$({ declare -f "$how"; echo "$suite $backports"; printf '%s\n' $packages | sort; } | sha256sum | cut -c1-16)
  place=$images/.cache/$name.$key
  if [ ! -d "$place" ] || [ "$update" = yes ]; then
    say "$name: fetching packages of $suite (a minute or so)"
    # Mirrors and networks fail for moments: what apt's own retries did not mend is tried once more from the start.
    "$how" "$suite" "$packages" "$work/debian" || {
      say "$name: mmdebstrap failed, trying once more:"$'\n'"$(tail -n 20 "$work/mmdebstrap.log")"
      rm -rf "$work/debian"
      "$how" "$suite" "$packages" "$work/debian" || { tail -n 20 "$work/mmdebstrap.log" >&2; die "$name: mmdebstrap failed"; }
    }
    if [ -d "$place" ] && cmp -s "$work/debian/vigia/packages.tsv" "$place/vigia/packages.tsv"; then
      say "$name: no package changed"
    else
      rm -rf "$images/.cache/$name".???????????????? # what an older recipe asked for
      mv "$work/debian" "$place"
    fi
    rm -rf "$work/debian"
  fi
  # shellcheck disable=SC2034  # the result
  tree=$place
}

# In a session of its own: when it fails, mmdebstrap interrupts its whole process group, the compiler beside it too.
# A tar stream, so that it also works without root (mmdebstrap's unshare mode).
unpack() {
  local suite=$1 packages=$2 into=$3 options=(--aptopt='Acquire::Retries "5"')
  [ "$backports" = no ] || options+=(--aptopt="APT::Default-Release \"$suite-backports\"")
  mkdir -p "$into"
  # shellcheck disable=SC2016,SC2086  # mmdebstrap's shell expands $1; words
  sources "$suite" | setsid --wait mmdebstrap --variant=extract --format=tar --include="$(printf '%s,' $packages)" "${options[@]}" \
    --setup-hook='for d in bin sbin lib lib32 libx32 lib64; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done' \
    --extract-hook='mkdir -p "$1/vigia"; for deb in "$1"/var/cache/apt/archives/*.deb; do
      dpkg-deb -W --showformat="\${Package}\t\${Version}\n" "$deb" >>"$1/vigia/packages.tsv"
      dpkg-deb --fsys-tarfile "$deb" | tar -t | sed -n "s#^\./\(.*[^/]\)\$#$(dpkg-deb -f "$deb" Package)\t\1#p" >>"$1/vigia/files.tsv"
    done' \
    "$suite" - - 2>"$work/mmdebstrap.log" |
    tar -x --no-same-owner --exclude=./dev --exclude=./var --exclude=./usr/share/doc --exclude=./usr/share/man \
      --exclude=./usr/share/locale -C "$into"
}

# Installed as a machine has them, without what only people read. Host keys and logs are made when the guest first boots.
install_system() {
  local suite=$1 packages=$2 into=$3
  mkdir -p "$into/vigia"
  # shellcheck disable=SC2046,SC2086  # words
  sources "$suite" | setsid --wait mmdebstrap --variant=minbase --format=tar --include="$(printf '%s,' $packages)" \
    --aptopt='Acquire::Retries "5"' $(printf -- '--dpkgopt=path-exclude=/usr/share/%s/* ' doc man info locale lintian) \
    "$suite" "$into/system.tar" - 2>"$work/mmdebstrap.log" || return 1
  tar -xOf "$into/system.tar" ./var/lib/dpkg/status | awk '/^Package:/ { name = $2 } /^Version:/ { print name "\t" $2 }' |
    sort >"$into/vigia/packages.tsv"
}
