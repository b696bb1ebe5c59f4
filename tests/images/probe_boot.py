#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots the probe image with an Intel NIC that QEMU emulates, with and without IOMMU, and looks at what the service was
given. Status 77 when the images are not built."""
import sys
import tempfile

import guest

PORT = ("-device", "pcie-root-port,id=rp1,chassis=1,slot=1",
        "-netdev", "hubport,hubid=0,id=n0", "-device", "igb,netdev=n0,bus=rp1,romfile=")
IOMMU = ("-device", "intel-iommu,intremap=on,caching-mode=on")
CONFIG = {"role": "probe", "name": "p1", "hugepages": 16, "storage": {"mode": "virtio"}}


def expect(machine: guest.Guest, command: str, text: str) -> None:
    _, output = machine.run(command)
    if text not in output:
        raise AssertionError(f"{command}: printed:\n{output}\nexpected in it: {text}; the console:\n{machine.console_text[-2000:]}")


def boot(image: str, disk: str, options: tuple, machine_type: str, spec: str, on_disk: str) -> None:
    drive = ("-drive", f"file={disk},format=raw,if=none,id=d0", "-device", "virtio-blk-pci,drive=d0")
    with guest.Guest(image, CONFIG, (*options, *PORT, *drive), "384M", machine_type) as machine:
        print(f"{image}: ready {machine.wait_console('vigia-probe: p1 ready'):.1f} s after QEMU's start, {spec}")
        expect(machine, "cat /run/vigia/service", f"DEVICE={spec}:0000:01:00.0")
        expect(machine, "cat /proc/sys/vm/nr_hugepages", "16")
        expect(machine, "cat /proc/mounts", "/dev/vda /var/lib/vigia ext4")
        expect(machine, "vigia-capture --version || vigia-capture --help", "vigia")
        expect(machine, "cat /var/lib/vigia/kept; echo kept >/var/lib/vigia/kept; sync", on_disk)
        # The service has no channel here, or ends for another reason: either way it is said and started again.
        machine.run("kill -9 $(pidof ld-linux-x86-64.so.2 vigia-capture)")
        machine.wait_console("vigia-probe: vigia-capture ended with status")


def main() -> int:
    image = sys.argv[1] if len(sys.argv) > 1 else "probe"
    if absent := guest.missing_images(image):
        print(f"SKIPPED: {absent}")
        return guest.SKIPPED
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.truncate(256 << 20)
        boot(image, disk.name, IOMMU, "q35,kernel-irqchip=split", "vfio", "No such file")
        boot(image, disk.name, (), "q35", "uio", "kept")  # formatted once, not again
    return 0


sys.exit(main())
