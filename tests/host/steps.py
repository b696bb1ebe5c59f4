# SPDX-License-Identifier: Apache-2.0
"""Steps on a host that several parts share."""
from host import PF, Failed

LIBVIRTD_CONF = 'auth_unix_rw = "none"\nauth_unix_ro = "none"\n'
# What a VM's only user needs: no other users, no cgroups, no logging daemon.
QEMU_CONF = """user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
clear_emulator_capabilities = 0
namespaces = []
cgroup_controllers = []
"""


def make_vfs(host, count: int, drivers: bool = False) -> None:
    """The PF up under igb before its VFs are there, or they would hear nothing. drivers: the host's own takes them."""
    device = f"/sys/bus/pci/devices/{PF}"
    host.run(f"modprobe igb; ip link set eth0 up; echo {int(drivers)} >{device}/sriov_drivers_autoprobe;"
             f"echo {count} >{device}/sriov_numvfs")
    if host.run(f"cat {device}/sriov_numvfs").strip() != str(count):
        raise Failed(f"{PF} does not have {count} VFs: {host.call('dmesg | tail -5').out}")


def bind(function: str, driver: str) -> str:
    """Shell text that gives a function to a driver."""
    device = f"/sys/bus/pci/devices/{function}"
    return (f"modprobe {driver}; [ ! -e {device}/driver ] || echo {function} >{device}/driver/unbind;"
            f"echo {driver} >{device}/driver_override; echo {function} >/sys/bus/pci/drivers_probe; ls -d {device}/driver >/dev/null;")


def start_libvirt(host) -> None:
    """After VFs are made: without udev it learns of no device that comes later."""
    (host.share / "libvirtd.conf").write_text(LIBVIRTD_CONF)
    (host.share / "qemu.conf").write_text(QEMU_CONF)
    host.run("cp /lab/libvirtd.conf /lab/qemu.conf /etc/libvirt/; libvirtd -d -p /run/libvirtd.pid >/dev/null 2>&1")
    host.wait_for("libvirtd", "virsh -c qemu:///system list >/dev/null")


def stop_libvirt(host) -> None:
    host.run("kill $(cat /run/libvirtd.pid); while pgrep -x libvirtd >/dev/null; do sleep 0.1; done; rm -f /run/libvirt/libvirt-sock")
