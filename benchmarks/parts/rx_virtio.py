# SPDX-License-Identifier: Apache-2.0
"""Frames of 64 bytes that DPDK's testpmd (net_vhost, txonly) writes into a virtio-net port, on one CPU, and that we take,
stamp and append to the capture ring on the other. Peers on virtio_user with the same generator: testpmd's rxonly, which
neither looks at frames nor copies nor stamps, and its icmpecho, which reads the headers of each and drops it. A host may
move the two CPUs apart (a cache line there and back takes 53 ns or 350); ours and a peer are a pair when it did not
between them, others are thrown away, and the distances of the pairs are shown. Takes root, two CPUs and 1 GiB of hugepages, which are given back."""
import json
import os
import re
import shutil
import subprocess
import sys
import time

import borrowed  # beside ../run

PAGES = 640
TESTPMD = "dpdk-testpmd"
PEERS = {"rxonly": "neither looks at frames nor copies nor stamps", "icmpecho": "reads the headers of each frame and drops it"}


def testpmd(cpu, name, huge, vdev, mode, log):
    # Both lcores on one CPU: the main one only waits.
    command = [TESTPMD, "--lcores", f"0@{cpu},1@{cpu}", "--no-pci", "--in-memory", "--huge-dir", huge, "--file-prefix", name,
               "--single-file-segments", "-m", "512", "--vdev", vdev, "--", f"--forward-mode={mode}", "--auto-start",
               "--stats-period", "1", "--no-lsc-interrupt"]
    if mode == "txonly":
        command += ["--txpkts=64"]
    else:
        command += ["--no-flush-rx"]
    return borrowed.started(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)


def distance(context):
    """Nanoseconds that a cache line takes from one CPU to the other and back."""
    said = subprocess.run([context.bin("rx_bench"), "cores"], capture_output=True, text=True, check=True).stdout
    return json.loads(said)["round_trip_ns"]


def peer_rate(context, folder, huge, sock, packed, mode, seconds):
    log = os.path.join(folder, f"{mode}.log")
    vdev = f"virtio_user0,path={sock},queues=1,queue_size=1024,packed_vq={int(packed)}"
    with open(log, "w", encoding="utf-8") as f, testpmd(1, "rx", huge, vdev, mode, f):
        time.sleep(seconds + 4)
    with open(log, encoding="utf-8") as f:
        rates = [int(r) / 1e6 for r in re.findall(r"Rx-pps:\s+(\d+)", f.read())]
    busy = [r for r in rates if r > 0][1:]  # the first second is not a whole one
    if not busy:
        context.say(f"testpmd received nothing; its words are in {log}")
        sys.exit(1)
    return context.spread(busy)[0]


def our_rate(context, folder, sock, kind, seconds):
    stats = os.path.join(folder, "stats.json")
    done = borrowed.run([context.bin("vigia-capture"), "run", "--device", f"vhost-user:{sock},ring={kind}", "--poll", "--cpus", "1",
                         "--queue-size", "1024", "--for", f"{seconds}s", "--stats-json", stats], capture_output=True, text=True,
                        env=os.environ | {"VIGIA_RUN_DIR": folder})
    if done.returncode != 0:
        sys.exit(f"vigia-capture failed ({done.returncode}):\n{done.stderr}")
    with open(stats, encoding="utf-8") as f:
        result = json.load(f)
    return result["frames"] / result["seconds"] / 1e6, result["lost"]


def pair(context, folder, huge, kind, mode, seconds):
    """Ours, then the peer, on one generator; and how far apart the CPUs were before, between and after."""
    sock = os.path.join(folder, "vhost.sock")
    tx_log = os.path.join(folder, "txonly.log")
    try:
        with open(tx_log, "w", encoding="utf-8") as log, testpmd(0, "tx", huge, f"net_vhost0,iface={sock},queues=1", "txonly", log) as tx:
            deadline = time.monotonic() + 20
            while not os.path.exists(sock):
                if time.monotonic() > deadline or tx.poll() is not None:
                    with open(tx_log, encoding="utf-8") as said:
                        sys.exit(f"the generator does not come up:\n{said.read()[-2000:]}")
                time.sleep(0.1)
            got = {"distance": [distance(context)]}
            got["ours"], got["lost"] = our_rate(context, folder, sock, kind, seconds)
            got["distance"].append(distance(context))
            got["peer"] = peer_rate(context, folder, huge, sock, kind == "packed", mode, seconds)
            got["distance"].append(distance(context))
    finally:
        if os.path.exists(sock):
            os.unlink(sock)
    return got


def rx_virtio(context, kind):
    if os.geteuid() != 0 or not shutil.which(TESTPMD) or os.cpu_count() < 2:
        context.say(f"rx_virtio.{kind} is left out: it takes root, two CPUs and {TESTPMD} (Debian: dpdk-dev)")
        return
    seconds = 2 if context.quick else 3
    with borrowed.folder() as folder, borrowed.hugepages(PAGES), borrowed.hugetlbfs(f"{folder}/huge") as huge:
        for mode, meaning in PEERS.items():
            pairs, thrown = [], 0
            while len(pairs) < context.runs and thrown < 5 * context.runs:
                got = pair(context, folder, huge, kind, mode, seconds)
                if max(got["distance"]) > 2 * min(got["distance"]):
                    thrown += 1
                else:
                    pairs.append(got)
            if not pairs:
                context.say(f"rx_virtio.{kind}: the host moved the CPUs in each of {thrown} pairs with {mode}")
                continue
            yield row(context, kind, mode, meaning, pairs, thrown)


def row(context, kind, mode, meaning, pairs, thrown):
    median, mad = context.spread([p["ours"] for p in pairs])
    peer, peer_mad = context.spread([p["peer"] for p in pairs])
    result = {"name": f"rx_virtio.{kind}" + ("" if mode == "rxonly" else f".{mode}"), "unit": "Mpps", "runs": len(pairs),
              "median": round(median, 3), "mad": round(mad, 3), "lost": sum(p["lost"] for p in pairs),
              "reference": f"testpmd {mode} on virtio_user, which {meaning}", "reference_median": round(peer, 3),
              "reference_mad": round(peer_mad, 3), "pair_ratios": [round(p["ours"] / p["peer"], 3) for p in pairs],
              "cpu_distance_ns": [p["distance"][0] for p in pairs], "thrown_away": thrown}
    # Of pairs, some near and some far: the ratio of the medians would be that of no pair.
    result["ratio"] = round(context.spread([p["ours"] / p["peer"] for p in pairs])[0], 3)
    if mode == "rxonly":
        result["goal"] = 0.95
    return result


BENCHES = {f"rx_virtio.{kind}": lambda context, kind=kind: rx_virtio(context, kind) for kind in ("split", "packed")}
