# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Sourced by the init of each image, where it runs under busybox ash as process 1, and by the setup of a disk image.

readonly RUN=/run/vigia
readonly CONFIG=$RUN/config.json

# A line for people and for the program that waits for it: on the console, after the image's name.
say() { echo "vigia-$IMAGE: $*" >/dev/console; }

start_system() {
  mount -t proc proc /proc
  mount -t sysfs sysfs /sys
  mount -t devtmpfs dev /dev 2>/dev/null || true # the kernel may have done it
  mkdir -p /dev/pts /dev/shm "$RUN"
  mount -t devpts devpts /dev/pts
  mount -t tmpfs tmpfs /dev/shm
  load_modules
  name_ports
}

load_modules() {
  while read -r module; do
    case "$module" in
      *\?) modprobe -q "${module%?}" 2>/dev/null || true ;; # wanted where the machine has it
      *) modprobe "$module" || say "cannot load the kernel module $module: what needs it will not work" ;;
    esac
  done </usr/lib/vigia/modules
}

# What udev does elsewhere: /dev/virtio-ports/NAME for each named virtio-serial port.
name_ports() {
  mkdir -p /dev/virtio-ports
  for port in /sys/class/virtio-ports/*; do
    [ -s "$port/name" ] || continue
    read -r name <"$port/name"
    ln -sf "../${port##*/}" "/dev/virtio-ports/$name"
  done
}

# The host's object from fw_cfg, or an empty one; what is no JSON object is refused, loudly, and taken as empty.
read_config() {
  local raw=/sys/firmware/qemu_fw_cfg/by_name/opt/org.vigia/config/raw
  echo '{}' >"$CONFIG"
  [ -r $raw ] || { say "no configuration given (QEMU: -fw_cfg name=opt/org.vigia/config,file=..): defaults"; return; }
  jq -e 'if type == "object" then . else error("not an object") end' $raw >"$CONFIG.new" 2>"$RUN/config.error" &&
    mv "$CONFIG.new" "$CONFIG" && return
  say "the configuration in fw_cfg opt/org.vigia/config is no JSON object ($(head -n1 "$RUN/config.error")): defaults"
}

# wait_for TENTHS COMMAND..: until the command succeeds; false when it never did.
wait_for() {
  local left=$1
  shift
  until "$@"; do
    [ "$left" -gt 0 ] || return 1
    left=$((left - 1))
    sleep 0.1
  done
}

# hand_over LINE: the rest of process 1's life is busybox init's, which restarts services and answers power button and
# signals. LINE is the inittab line of the image's own service.
hand_over() {
  {
    echo "$1"
    [ -e /dev/virtio-ports/org.vigia.shell.0 ] && echo "::respawn:/usr/lib/vigia/shell-port /dev/virtio-ports/org.vigia.shell.0"
    [ -c /dev/hvc0 ] && echo "hvc0::respawn:-/bin/sh"
    [ -e /dev/ttyS1 ] && stty -F /dev/ttyS1 >/dev/null 2>&1 && echo "ttyS1::respawn:-/bin/sh"
    echo "::respawn:/bin/acpid -f -e /proc/acpi/event -l /dev/null"
    echo "::askfirst:-/bin/sh"
    echo "::ctrlaltdel:/sbin/reboot"
    echo "::shutdown:/bin/umount -a -r"
  } >/etc/inittab
  exec /sbin/init
}
