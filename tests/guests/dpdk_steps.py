# SPDX-License-Identifier: Apache-2.0
"""What testpmd does with a function of the softnic, VF or PF, and whether both count the same."""
import re
import sys
import time
from pathlib import Path

from channel import Failed
from lab import Lab
from testpmd import Testpmd

SENDER = Path(__file__).with_name("send_frames.py")
FRAMES = 2000


def same(what: str, **numbers: int) -> int:
    if len(set(numbers.values())) != 1:
        raise Failed(f"{what}: {numbers} are not the same")
    return next(iter(numbers.values()))


class Subject:
    """A guest on a function: name as in the accounts ("vf0", "pf"), mac where frames are to go."""

    def __init__(self, lab: Lab, guest, report, name: str, mac: str):
        self.lab, self.guest, self.report, self.name, self.mac = lab, guest, report, name, mac

    def send(self, count: int, kind: str = "") -> None:
        self.lab.inside(f"{sys.executable} {SENDER} wire {self.mac} {count} {kind}", 60)
        time.sleep(0.5)

    def counters(self) -> dict[str, int]:
        """With this function's own under "own."."""
        c = self.lab.counters()
        return c | {"own." + k.split(".")[1]: v for k, v in c.items() if k.startswith(self.name + ".")}


def receive(s: Subject) -> None:
    pmd = Testpmd(s.guest, "rxonly")
    before = s.counters()
    s.send(FRAMES)
    got, now = pmd.statistics(), s.counters()
    s.report("rxonly", same("rxonly", sent=FRAMES, copies=now["own.copies"] - before["own.copies"],
                          written=now["own.written"] - before["own.written"], testpmd=got["RX-packets"]))
    same("bytes of rxonly", softnic=now["own.written_bytes"] - before["own.written_bytes"],
         testpmd=got["RX-bytes"] - (0 if got["RX-bytes"] % 60 == 0 else 4 * FRAMES))
    pmd.stop()
    s.lab.balanced()


def swap(s: Subject) -> None:
    pmd = Testpmd(s.guest, "macswap")
    before = s.counters()
    s.send(FRAMES)
    got, now = pmd.statistics(), s.counters()
    s.report("macswap", same("macswap", sent=FRAMES, received=got["RX-packets"], returned=got["TX-packets"],
                           vf_sent=now["own.tx_sent"] - before["own.tx_sent"],
                           left=now["tx.wire_only"] - before["tx.wire_only"]))
    pmd.stop()
    s.lab.balanced()


def transmit(s: Subject) -> None:
    before, begin = s.counters(), time.monotonic()
    pmd = Testpmd(s.guest, "txonly", options="--txpkts=60")
    time.sleep(3)
    text = pmd.stop()
    seconds = time.monotonic() - begin
    now = s.counters()
    told = int(re.findall(r"TX-packets: *(\d+)", text)[-1])
    sent = same("txonly", testpmd=told, softnic=now["own.tx_sent"] - before["own.tx_sent"])
    s.report("txonly", {"frames": sent, "about_kpps": round(sent / seconds / 1000, 1)})
    s.lab.balanced()


def spread(s: Subject) -> None:
    pmd = Testpmd(s.guest, "rxonly", 2, "--rss-udp")
    s.send(FRAMES, "udp")
    total = pmd.statistics()["RX-packets"]
    text = pmd.stop()
    streams = text[text.index("Forward Stats for RX Port"):] if "Forward Stats for RX Port" in text else ""
    queues = [int(n) for n in re.findall(r"RX-packets: *(\d+)", streams)][:2]
    s.report("rss_queues", queues)
    same("RSS", sent=FRAMES, received=total)
    if len(queues) < 2 or min(queues) < FRAMES // 4:
        raise Failed(f"RSS has spread {FRAMES} flows as {queues}: {text[-800:]}")
    s.lab.balanced()


STEPS = (receive, swap, transmit, spread)


def lost(s: Subject) -> None:
    s.report("lost", {k: n for k, n in s.lab.counters().items()
                      if n and k.split(".")[1] in ("no_descriptor", "queue_disabled", "dma_fault")})
