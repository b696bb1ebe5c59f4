# SPDX-License-Identifier: Apache-2.0
"""DPDK's ixgbe VF driver in a guest: rxonly, macswap, txonly, RSS; testpmd and softnic count the same."""
import re
import sys
import time
from pathlib import Path

from channel import Failed
from lab import Lab, mac
from testpmd import Testpmd, bind

IMAGES = ["probe-dpdk", "probe-dpdk-24.11"]
SENDER = Path(__file__).with_name("send_frames.py")
FRAMES = 2000


def same(what: str, **numbers: int) -> int:
    if len(set(numbers.values())) != 1:
        raise Failed(f"{what}: {numbers} are not the same")
    return next(iter(numbers.values()))


def send(lab: Lab, count: int, kind: str = "") -> None:
    lab.inside(f"{sys.executable} {SENDER} wire {mac(0)} {count} {kind}", 60)
    time.sleep(0.5)


def receive(lab: Lab, guest, report) -> None:
    pmd = Testpmd(guest, "rxonly")
    before = lab.counters()
    send(lab, FRAMES)
    got, now = pmd.statistics(), lab.counters()
    report("rxonly", same("rxonly", sent=FRAMES, copies=now["vf0.copies"] - before["vf0.copies"],
                          written=now["vf0.written"] - before["vf0.written"], testpmd=got["RX-packets"]))
    same("bytes of rxonly", softnic=now["vf0.written_bytes"] - before["vf0.written_bytes"],
         testpmd=got["RX-bytes"] - (0 if got["RX-bytes"] % 60 == 0 else 4 * FRAMES))
    pmd.stop()
    lab.balanced()


def swap(lab: Lab, guest, report) -> None:
    pmd = Testpmd(guest, "macswap")
    before = lab.counters()
    send(lab, FRAMES)
    got, now = pmd.statistics(), lab.counters()
    report("macswap", same("macswap", sent=FRAMES, received=got["RX-packets"], returned=got["TX-packets"],
                           vf_sent=now["vf0.tx_sent"] - before["vf0.tx_sent"],
                           left=now["tx.wire_only"] - before["tx.wire_only"]))
    pmd.stop()
    lab.balanced()


def transmit(lab: Lab, guest, report) -> None:
    before, begin = lab.counters(), time.monotonic()
    pmd = Testpmd(guest, "txonly", options="--txpkts=60")
    time.sleep(3)
    text = pmd.stop()
    seconds = time.monotonic() - begin
    now = lab.counters()
    told = int(re.findall(r"TX-packets: *(\d+)", text)[-1])
    sent = same("txonly", testpmd=told, softnic=now["vf0.tx_sent"] - before["vf0.tx_sent"])
    report("txonly", {"frames": sent, "about_kpps": round(sent / seconds / 1000, 1)})
    lab.balanced()


def spread(lab: Lab, guest, report) -> None:
    pmd = Testpmd(guest, "rxonly", 2, "--rss-udp")
    send(lab, FRAMES, "udp")
    total = pmd.statistics()["RX-packets"]
    text = pmd.stop()
    streams = text[text.index("Forward Stats for RX Port"):] if "Forward Stats for RX Port" in text else ""
    queues = [int(n) for n in re.findall(r"RX-packets: *(\d+)", streams)][:2]
    report("rss_queues", queues)
    same("RSS", sent=FRAMES, received=total)
    if len(queues) < 2 or min(queues) < FRAMES // 4:
        raise Failed(f"RSS has spread {FRAMES} flows as {queues}: {text[-800:]}")
    lab.balanced()


def run(image: str, report) -> None:
    with Lab(vfs=1) as lab:
        guest = lab.guest("dpdk", image, ["vf0"], memory_mib=512, iommu=True)
        report("boot_s", guest.start())
        bind(guest)
        report("version", guest.run("dpdk-testpmd --version 2>&1 | grep -o 'DPDK [0-9.]*' | head -1; true"))
        for step in (receive, swap, transmit, spread):
            step(lab, guest, report)
        report("lost", {k: n for k, n in lab.counters().items()
                        if n and k.split(".")[1] in ("no_descriptor", "queue_disabled", "dma_fault")})
