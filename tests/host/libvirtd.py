# SPDX-License-Identifier: Apache-2.0
"""libvirtd in the host VM, set up as the demo's."""
import sys

from host import images

sys.path.insert(0, str(images.SOURCE / "orchestrator" / "demo"))
from private_libvirt import QEMU_CONF  # noqa: E402

LIBVIRTD_CONF = 'auth_unix_rw = "none"\nauth_unix_ro = "none"\n'


def start_libvirt(host) -> None:
    """After VFs are made: without udev it learns of no device that comes later."""
    (host.share / "libvirtd.conf").write_text(LIBVIRTD_CONF)
    (host.share / "qemu.conf").write_text(QEMU_CONF)
    host.run("cp /lab/libvirtd.conf /lab/qemu.conf /etc/libvirt/; libvirtd -d -p /run/libvirtd.pid >/dev/null 2>&1")
    host.wait_for("libvirtd", "virsh -c qemu:///system list >/dev/null")


def stop_libvirt(host) -> None:
    host.run("kill $(cat /run/libvirtd.pid); while pgrep -x libvirtd >/dev/null; do sleep 0.1; done; rm -f /run/libvirt/libvirt-sock")
