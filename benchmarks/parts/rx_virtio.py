# SPDX-License-Identifier: Apache-2.0
"""Frames of 64 bytes that DPDK's testpmd (net_vhost, txonly) writes into a virtio-net port, on one CPU, and that we take,
stamp and append to the capture ring on the other. Peer: testpmd's rxonly on virtio_user with the same generator, which
neither copies nor stamps. Takes root, two CPUs and 1 GiB of hugepages, which are given back."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HUGEPAGES = "/proc/sys/vm/nr_hugepages"
PAGES = 640
TESTPMD = "dpdk-testpmd"


class Hugepages:
    """At least PAGES free ones and a place to mount them; as before afterwards."""

    def __init__(self, folder):
        self.mount = os.path.join(folder, "huge")

    def __enter__(self):
        with open(HUGEPAGES, encoding="ascii") as f:
            self.before = f.read().strip()
        with open(HUGEPAGES, "w", encoding="ascii") as f:
            f.write(str(int(self.before) + PAGES))
        os.mkdir(self.mount)
        subprocess.run(["mount", "-t", "hugetlbfs", "none", self.mount], check=True)
        return self.mount

    def __exit__(self, *_):
        subprocess.run(["umount", self.mount], check=False)
        with open(HUGEPAGES, "w", encoding="ascii") as f:
            f.write(self.before)


def testpmd(cpu, name, huge, vdev, mode, log):
    # Both lcores on one CPU: the main one only waits.
    command = [TESTPMD, "--lcores", f"0@{cpu},1@{cpu}", "--no-pci", "--in-memory", "--huge-dir", huge, "--file-prefix", name,
               "--single-file-segments", "-m", "512", "--vdev", vdev, "--", f"--forward-mode={mode}", "--auto-start",
               "--stats-period", "1", "--no-lsc-interrupt"]
    if mode == "txonly":
        command += ["--txpkts=64"]
    else:
        command += ["--no-flush-rx"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)


def end(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def peer_rate(context, folder, huge, sock, packed, seconds):
    log = os.path.join(folder, "rxonly.log")
    with open(log, "w", encoding="utf-8") as f:
        rx = testpmd(1, "rx", huge, f"virtio_user0,path={sock},queues=1,queue_size=1024,packed_vq={int(packed)}", "rxonly", f)
        time.sleep(seconds + 4)
        end(rx)
    with open(log, encoding="utf-8") as f:
        rates = [int(r) / 1e6 for r in re.findall(r"Rx-pps:\s+(\d+)", f.read())]
    busy = [r for r in rates if r > 0][1:]  # the first second is not a whole one
    if not busy:
        context.say(f"testpmd received nothing; its words are in {log}")
        sys.exit(1)
    return context.spread(busy)[0]


def our_rate(context, folder, sock, kind, seconds):
    stats = os.path.join(folder, "stats.json")
    done = subprocess.run([context.bin("vigia-capture"), "run", "--device", f"vhost-user:{sock},ring={kind}", "--poll", "--cpus", "1",
                           "--queue-size", "1024", "--for", f"{seconds}s", "--stats-json", stats], capture_output=True, text=True,
                          check=False, env=os.environ | {"VIGIA_RUN_DIR": folder})
    if done.returncode != 0:
        sys.exit(f"vigia-capture failed ({done.returncode}):\n{done.stderr}")
    with open(stats, encoding="utf-8") as f:
        result = json.load(f)
    return result["frames"] / result["seconds"] / 1e6, result["lost"]


def rx_virtio(context, kind):
    if os.geteuid() != 0 or not shutil.which(TESTPMD) or os.cpu_count() < 2:
        context.say(f"rx_virtio.{kind} is left out: it takes root, two CPUs and {TESTPMD} (Debian: dpdk-dev)")
        return
    seconds = 2 if context.quick else 5
    ours, peers, lost = [], [], 0
    with tempfile.TemporaryDirectory() as folder, Hugepages(folder) as huge:
        for turn in range(context.runs):
            sock = os.path.join(folder, f"vhost{turn}.sock")
            with open(os.path.join(folder, "txonly.log"), "w", encoding="utf-8") as log:
                tx = testpmd(0, "tx", huge, f"net_vhost0,iface={sock},queues=1", "txonly", log)
                try:
                    deadline = time.monotonic() + 20
                    while not os.path.exists(sock):
                        if time.monotonic() > deadline or tx.poll() is not None:
                            with open(log.name, encoding="utf-8") as said:
                                sys.exit(f"the generator does not come up:\n{said.read()[-2000:]}")
                        time.sleep(0.1)
                    rate, missing = our_rate(context, folder, sock, kind, seconds)
                    ours.append(rate)
                    lost += missing
                    peers.append(peer_rate(context, folder, huge, sock, kind == "packed", seconds))
                finally:
                    end(tx)
    median, mad = context.spread(ours)
    peer, peer_mad = context.spread(peers)
    yield {"name": f"rx_virtio.{kind}", "unit": "Mpps", "runs": context.runs, "median": round(median, 3), "mad": round(mad, 3),
           "lost": lost, "reference": "testpmd rxonly on virtio_user, which neither copies nor stamps",
           "reference_median": round(peer, 3), "reference_mad": round(peer_mad, 3), "goal": 0.95}


BENCHES = {f"rx_virtio.{kind}": lambda context, kind=kind: rx_virtio(context, kind) for kind in ("split", "packed")}
