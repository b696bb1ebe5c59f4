# SPDX-License-Identifier: Apache-2.0
"""DPDK's ixgbe driver on the PF function itself, in a guest: rxonly, macswap, txonly, RSS; both count the same."""
from dpdk_steps import STEPS, Subject, lost
from lab import Lab, PF_MAC
from testpmd import bind

IMAGES = ["pf", "pf-6.12"]


def run(image: str, report) -> None:
    with Lab(vfs=1, manager=False) as lab:
        guest = lab.guest("dpdk", image, ["pf"], memory_mib=512, iommu=True)
        report("boot_s", guest.start(120))
        bind(guest)
        subject = Subject(lab, guest, report, "pf", PF_MAC)
        for step in STEPS:
            step(subject)
        lost(subject)
