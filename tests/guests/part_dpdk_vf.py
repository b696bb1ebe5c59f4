# SPDX-License-Identifier: Apache-2.0
"""DPDK's ixgbe VF driver in a guest: rxonly, macswap, txonly, RSS; testpmd and softnic count the same."""
from dpdk_steps import STEPS, Subject, lost
from lab import Lab, mac
from testpmd import bind

IMAGES = ["probe-dpdk", "probe-dpdk-24.11"]


def run(image: str, report) -> None:
    with Lab(vfs=1) as lab:
        guest = lab.guest("dpdk", image, ["vf0"], memory_mib=512, iommu=True)
        report("boot_s", guest.start())
        bind(guest)
        subject = Subject(lab, guest, report, "vf0", mac(0))
        for step in STEPS:
            step(subject)
        lost(subject)
