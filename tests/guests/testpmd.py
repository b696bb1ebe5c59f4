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
    def __init__(self, guest: Guest, mode: str, queues: int = 1, options: str = ""):
        self.guest = guest
        guest.run("rm -f /tmp/in; mkfifo /tmp/in")
        guest.shell.run("exec 3<>/tmp/in")
        guest.run(f"dpdk-testpmd --lcores 0@0,1@0 --in-memory --no-telemetry -a {DEVICE} -m 64 -- -i --auto-start "
                  f"--total-num-mbufs=4096 --forward-mode={mode} --rxq={queues} --txq={queues} {options} "
                  "</tmp/in >/tmp/out 2>&1 3>&- &")
        self.await_text(r"Press enter to exit|testpmd>", 60)

    def output(self) -> str:
        return self.guest.run("cat /tmp/out", 20)

    def await_text(self, pattern: str, seconds: float) -> str:
        until = time.monotonic() + seconds
        while True:
            text = self.output()
            if re.search(pattern, text):
                return text
            if time.monotonic() > until:
                raise Failed(f"testpmd: no {pattern!r} within {seconds} s: {text[-1500:]}")
            time.sleep(0.3)

    def say(self, command: str, pattern: str) -> str:
        """Gives a command at the prompt; what was printed since."""
        before = len(self.output())
        self.guest.run(f"echo '{command}' >&3")
        until = time.monotonic() + 20
        while True:
            text = self.output()[before:]
            if re.search(pattern, text):
                return text
            if time.monotonic() > until:
                raise Failed(f"testpmd: {command}: no {pattern!r}: {text[-800:]}")
            time.sleep(0.3)

    def statistics(self) -> dict[str, int]:
        text = self.say("show port stats 0", r"Tx-bps")
        return {k: int(v) for k, v in re.findall(r"([RT]X-[a-z]+): *(\d+)", text)}

    def stop(self) -> str:
        """Ends forwarding; its per-stream figures."""
        return self.say("stop", r"\nDone\.")

    def quit(self) -> None:
        self.guest.run("echo quit >&3")
        until = time.monotonic() + 20
        while self.guest.status("pidof dpdk-testpmd >/dev/null") == 0:
            if time.monotonic() > until:
                raise Failed("testpmd does not end")
            time.sleep(0.2)
