# SPDX-License-Identifier: Apache-2.0
"""An agent comes and goes, again and again, while tenants transfer and numbered datagrams run; none may be lost by it"""
import json
import os
import re
import statistics
import subprocess
import sys
import time

from stage import WEB, Failed

CYCLES = int(os.environ.get("VIGIA_CYCLES", "20"))
MINUTES = float(os.environ.get("VIGIA_CYCLE_MINUTES", "15"))  # after that no cycle begins
QUIET = float(os.environ.get("VIGIA_QUIET", "60"))  # seconds without an agent, for comparison
# Sends numbered datagrams until it is ended; says how many.
SENDER = """import signal, socket, sys, time
class End(Exception): pass
def end(*_): raise End
signal.signal(signal.SIGTERM, end)
s, number = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0
try:
    while True:
        s.sendto(b"vigia-seq %08d" % number + bytes(300), (sys.argv[1], 9998))
        number += 1
        time.sleep(0.01)
except End:
    print(number)
"""


class Datagrams:
    """From the namespace to web, where a tcpdump notes each; stop() tells by their numbers which did not come."""

    def __init__(self, stage):
        self.stage = stage
        stage.in_guest("web", "tcpdump -Z root -i any -s 96 -B 4096 -U -w /srv/www/seq.pcap udp dst port 9998 >/root/tcpdump.log 2>&1 & "
                              "echo $! > /root/tcpdump.pid; sleep 3")
        self.sender = subprocess.Popen(["ip", "netns", "exec", stage.ns, sys.executable, "-c", SENDER, WEB], text=True,
                                       stdout=subprocess.PIPE)

    def stop(self):
        self.sender.terminate()
        sent = int(self.sender.communicate()[0])
        time.sleep(3)
        self.stage.in_guest("web", "kill $(cat /root/tcpdump.pid); sleep 2; chmod a+r /srv/www/seq.pcap")
        done = subprocess.run(["ip", "netns", "exec", self.stage.ns, "curl", "-s", "--fail", f"http://{WEB}/seq.pcap"],
                              capture_output=True, check=True)
        if not done.stdout:
            raise Failed("web's tcpdump wrote nothing")
        came = {int(number) for number in re.findall(rb"vigia-seq (\d{8})", done.stdout)}
        if not came:
            raise Failed("web has none of the datagrams: " + self.stage.in_guest("web", "cat /root/tcpdump.log"))
        said = self.stage.in_guest("web", "cat /root/tcpdump.log")
        by_tcpdump = int((re.search(r"(\d+) packets dropped by kernel", said) or ["", "0"])[1])
        return {"sent": sent, "lost": sent - len(came), "of these not seen by the guest's tcpdump": by_tcpdump}


def spread(seconds):
    return {"median": round(statistics.median(seconds), 2), "min": round(min(seconds), 2), "max": round(max(seconds), 2)}


def losses(stage):
    """Tenants' frames that the NIC could not deliver."""
    accounts = json.loads(stage.vigia("ledger", stage.nic, "--json", check=False))["accounts"]
    return sum(value for name, value in accounts.items()
               if name.startswith(("vf0.", "vf1.")) and name.endswith(("no_descriptor", "queue_disabled", "dma_fault", "tx_dropped"))
               or name == "wire.missed")


def run(stage, report):
    stage.start_load()
    stage.wait_for_transfers(2)
    at_first = losses(stage)
    datagrams = Datagrams(stage)
    time.sleep(QUIET)
    without = datagrams.stop()
    dropped_without = losses(stage) - at_first
    report("without an agent", without | {"dropped by the NIC": dropped_without})

    datagrams = Datagrams(stage)
    at_second, begin, ups, downs, mirrored = losses(stage), time.monotonic(), [], [], 0
    try:
        while len(ups) < CYCLES and time.monotonic() - begin < MINUTES * 60:
            up_s, down_s, frames = cycle(stage, len(ups) + 1)
            ups.append(up_s)
            downs.append(down_s)
            mirrored += frames
            print(f"    cycle {len(ups)}: up {up_s:.1f} s, down {down_s:.1f} s, {frames} frames mirrored", flush=True)
    finally:
        with_agents = datagrams.stop()
        report("cycles", len(ups))
        report("beside agents", with_agents | {"dropped by the NIC": losses(stage) - at_second})
    report("seconds per up", spread(ups))
    report("seconds per down", spread(downs))
    report("frames mirrored", mirrored)
    stage.stop_load()
    report("transfers with the right checksum", {name: result["ok"] for name, result in stage.results.items()})
    for name in ("web", "db"):
        stage.in_guest(name, "rm -f /root/stop")
    stage.ledger()
    lost_by_nic = losses(stage) - at_second
    if lost_by_nic > dropped_without and lost_by_nic > 0:
        raise Failed(f"the NIC dropped {lost_by_nic} tenants' frames beside agents, {dropped_without} without")
    # A busy guest may lose some by itself; an agent must not add to it.
    share, beside = (run["lost"] / max(run["sent"], 1) for run in (without, with_agents))
    report("share of datagrams lost", {"without": round(share, 6), "beside agents": round(beside, 6)})
    if beside > share:
        raise Failed(f"datagrams were lost beside agents: {with_agents}, without: {without}")


def cycle(stage, number):
    begin = time.monotonic()
    stage.vigia("agent", "up", stage.agent_spec(), "--json")
    up = time.monotonic()
    stage.wait_for(f"frames at the agent in cycle {number}", lambda: stage.mirrored() > 100, 60)
    frames = stage.mirrored()
    begin_down = time.monotonic()
    stage.vigia("agent", "down", "spy")
    down = time.monotonic()
    stage.expect_nothing_left(f"after cycle {number}")
    return up - begin, down - begin_down, frames
