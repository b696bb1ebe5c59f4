# SPDX-License-Identifier: Apache-2.0
"""A veth pair in a network namespace of its own: one CPU sends 64-byte frames with trafgen, the other captures them. Ours
by AF_XDP and AF_PACKET, peers tcpdump, dumpcap and netsniff-ng, each into a file on tmpfs and into /dev/null. Since one
sending CPU gives only some 0.6 Mpps, the figure is CPU seconds of the capturing process (all its threads, from the first
frame to the last) per million frames; what the kernel does for a frame before a socket has it runs on the sender's CPU
and is in nobody's figure. Frames that a tool lost are shown beside it."""
import contextlib
import json
import os
import re
import shutil
import signal
import sys
import time

import borrowed  # beside ../run

TRAFGEN = """{
  0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x08, 0x00,
  0x45, 0x00, 0x00, 0x2e, drnd(2), 0x00, 0x00, 0x40, 0x11, 0x00, 0x00,
  10, 0, 0, 1, 10, 0, 0, 2, drnd(2), 0x00, 0x50, 0x00, 0x1a, 0x00, 0x00, fill(0x55, 18),
}
"""

MOST_WRITTEN = 128  # bytes a frame of 60 takes in a file, at most


def ours(device):
    def start(context, out, folder):
        command = [context.bin("vigia-capture"), "run", "--device", device, "--name", "bench", "--stats-json", f"{folder}/stats.json"]
        return command + ["--out", out]

    def frames(folder, _said):
        with open(f"{folder}/stats.json", encoding="utf-8") as f:
            return json.load(f)["frames"]
    return start, frames


def counted(pattern):
    def frames(_folder, said):
        found = re.search(pattern, said)
        if not found:
            sys.exit(f"no count in what a peer said:\n{said}")
        return int(found.group(1))
    return frames


# name: command(context, file, folder), frames(folder, what it said)
OURS = {"af_packet": ours("packet:va"), "af_xdp": ours("xdp:va,mode=native")}
PEERS = {
    "tcpdump": (lambda c, out, folder: ["tcpdump", "-i", "va", "-n", "-Z", "root", "-s", "65535", "-w", out],
                counted(r"(\d+) packets? captured")),
    "dumpcap": (lambda c, out, folder: ["dumpcap", "-q", "-P", "-i", "va", "-w", out], counted(r"Packets captured: (\d+)")),
    "netsniff-ng": (lambda c, out, folder: ["netsniff-ng", "--in", "va", "--out", out, "--silent", "--no-promisc"],
                    counted(r"(\d+)\s+packets passed filter")),
}


@contextlib.contextmanager
def namespace():
    """With va (captured) and vb (sent to)."""
    with borrowed.namespace(f"vigia-bench-{os.getpid()}") as name:
        stage = Stage(name)
        stage.run(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"])
        stage.run(["ip", "link", "add", "va", "type", "veth", "peer", "name", "vb"])
        for end in ("va", "vb"):
            stage.run(["ip", "link", "set", end, "up"])
        # Tags would be taken out of the frames; there are none, and vigia-capture need not warn.
        stage.run(["ethtool", "-K", "va", "rxvlan", "off"], check=False)
        yield stage


class Stage:
    def __init__(self, name):
        self.name = name

    def inside(self, command):
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, command, check=True):
        return borrowed.run(self.inside(command), check=check, capture_output=True, text=True)

    def send(self, config, frames):
        done = self.run(["taskset", "-c", "0", "trafgen", "--dev", "vb", "--conf", config, "--num", str(frames), "--cpus", "1", "--qdisc-path",
                         "--no-sock-mem"], check=False)
        if done.returncode != 0:
            sys.exit(f"trafgen failed ({done.returncode}):\n{done.stdout}{done.stderr}")

    def arrived(self):
        """Frames that va has had so far."""
        return json.loads(self.run(["ip", "-s", "-j", "link", "show", "va"]).stdout)[0]["stats64"]["rx"]["packets"]


def cpu_seconds(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
        except FileNotFoundError:
            pass
    return total / 1e9


def await_start(process, said):
    """Until it receives: it has a packet socket that is bound, or says so itself (ours)."""
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
        with open(said, encoding="utf-8") as f, open(f"/proc/{process.pid}/net/packet", encoding="ascii") as sockets:
            if " captures on " in f.read() or any(line.split()[5] == "1" for line in sockets.readlines()[1:]):
                time.sleep(1)
                return
    with open(said, encoding="utf-8") as f:
        sys.exit(f"no capture within 20 s:\n{f.read()}")


def have_memory(folder, size):
    """A guest gives free memory back to its host, and whoever touches it first pays for that: not a tool that writes."""
    piece = b"\1" * (1 << 20)
    with open(f"{folder}/memory", "wb") as f:
        for _ in range(size >> 20):
            f.write(piece)
    os.remove(f"{folder}/memory")


def trial(context, stage, tool, sink, frames):
    command, count = tool
    with borrowed.folder("/dev/shm") as folder:
        config, out = f"{folder}/frame.cfg", f"{folder}/out.pcap"
        with open(config, "w", encoding="ascii") as f:
            f.write(TRAFGEN)
        if sink == "null":
            os.symlink("/dev/null", out)
        said = f"{folder}/said"
        with open(said, "w", encoding="utf-8") as log, borrowed.started(
                stage.inside(["taskset", "-c", "1", *command(context, out, folder)]), stdout=log, stderr=log,
                env=os.environ | {"VIGIA_RUN_DIR": folder}) as process:
            await_start(process, said)
            if sink == "tmpfs":
                have_memory(folder, frames * MOST_WRITTEN)
            arrived = stage.arrived()
            before, begin = cpu_seconds(process.pid), time.monotonic()
            stage.send(config, frames)
            took = time.monotonic() - begin
            time.sleep(1.5)  # who reads by blocks may still have some
            used = cpu_seconds(process.pid) - before
            arrived = stage.arrived() - arrived
            process.send_signal(signal.SIGINT)
            process.wait(30)
        with open(said, encoding="utf-8") as f:
            got = count(folder, f.read())
    return used / arrived * 1e6, arrived - got, arrived / took / 1e6


def rx_kernel(context, sink):
    missing = [p for p in ("trafgen", "ip", *PEERS) if not shutil.which(p)]
    if os.geteuid() != 0 or missing or os.cpu_count() < 2:
        context.say(f"rx_kernel.{sink} is left out: it takes root, two CPUs and {', '.join(missing) or 'nothing more'} "
                    "(Debian: netsniff-ng, tcpdump, wireshark-common)")
        return
    frames = 200_000 if context.quick else 2_000_000
    figures = {name: ([], [], []) for name in (*OURS, *PEERS)}
    with namespace() as stage:
        for _ in range(context.runs):  # in turn, so that a disturbance meets all
            for name, tool in (OURS | PEERS).items():
                for values, value in zip(figures[name], trial(context, stage, tool, sink, frames)):
                    values.append(value)
    best = min(PEERS, key=lambda name: context.spread(figures[name][0])[0])
    best_median, best_mad = context.spread(figures[best][0])
    for name, (cost, lost, rate) in figures.items():
        median, mad = context.spread(cost)
        row = {"name": f"rx_kernel.{sink}.{name}", "unit": "CPU s per million frames", "runs": context.runs, "median": round(median, 4),
               "mad": round(mad, 4), "lost": sum(lost), "sent": frames * context.runs, "sent_mpps": round(context.spread(rate)[0], 3)}
        if name in OURS:
            row |= {"reference": f"the best peer, {best}", "reference_median": round(best_median, 4), "reference_mad": round(best_mad, 4),
                    "goal": 0.67, "lower_is_better": True}
        yield row


BENCHES = {f"rx_kernel.{sink}": lambda context, sink=sink: rx_kernel(context, sink) for sink in ("tmpfs", "null")}
