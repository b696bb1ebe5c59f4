# SPDX-License-Identifier: Apache-2.0
"""DPDK's testpmd in a guest: bound by vfio-pci behind the guest's IOMMU, driven through its prompt."""
import re
import time

from channel import Failed
from guest import Guest

DEVICE = "0000:01:00.0"


def bind(guest: Guest, pages: int = 100) -> None:
    """Hugepages of 2 MiB for DPDK, and the function in the hands of vfio-pci."""
    guest.run(f"echo {pages} >/proc/sys/vm/nr_hugepages; mkdir -p /dev/hugepages;"
              "grep -q /dev/hugepages /proc/mounts || mount -t hugetlbfs none /dev/hugepages")
    guest.run("modprobe vfio_iommu_type1; modprobe vfio-pci")
    device = f"/sys/bus/pci/devices/{DEVICE}"
    guest.run(f"[ ! -e {device}/driver ] || echo {DEVICE} >{device}/driver/unbind;"
              f"echo vfio-pci >{device}/driver_override; echo {DEVICE} >/sys/bus/pci/drivers_probe; ls -d {device}/driver")


class Testpmd:
    """A run of testpmd. It prints the port's statistics every second: without a terminal its prompt keeps them back."""

    def __init__(self, guest: Guest, mode: str, queues: int = 1, options: str = ""):
        self.guest = guest
        guest.run("mkdir -p /var/run /tmp")
        guest.run(f"dpdk-testpmd --lcores 0@0,1@0 --in-memory --no-telemetry -a {DEVICE} -m 64 -- --auto-start "
                  f"--stats-period=1 --total-num-mbufs=4096 --forward-mode={mode} --rxq={queues} --txq={queues} "
                  f"{options} </dev/null >/tmp/out 2>&1 &")
        self.wait_for(lambda text: "RX-packets" in text, 60)

    def wait_for(self, ready, seconds: float) -> str:
        until = time.monotonic() + seconds
        while True:
            text = self.guest.run("tail -c 8000 /tmp/out", 20)
            if ready(text):
                return text
            if time.monotonic() > until:
                raise Failed(f"testpmd: not what was awaited within {seconds} s: {text[-1500:]}")
            time.sleep(0.3)

    def statistics(self) -> dict[str, int]:
        """The port's, once they have been the same for two periods."""
        last: list = [None]

        def settled(text: str) -> bool:
            blocks = text.split("NIC statistics")
            found = [tuple(re.findall(r"([RT]X-[a-z]+): *(\d+)", b)) for b in blocks[1:] if "Tx-bps" in b]
            last[0] = found[-1] if found else None
            return len(found) >= 3 and found[-1] == found[-2] == found[-3]

        self.wait_for(settled, 40)
        return {k: int(v) for k, v in last[0]}

    def stop(self) -> str:
        """Ends it; what it says of its forwarding streams."""
        self.guest.run("kill -INT $(pidof dpdk-testpmd)")
        text = self.wait_for(lambda t: "Bye" in t, 40)
        until = time.monotonic() + 20
        while self.guest.status("pidof dpdk-testpmd >/dev/null") == 0:
            if time.monotonic() > until:
                raise Failed("testpmd does not end")
            time.sleep(0.2)
        return text
