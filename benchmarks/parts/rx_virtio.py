# SPDX-License-Identifier: Apache-2.0
"""Frames of 64 bytes that DPDK's testpmd (net_vhost, txonly) writes into a virtio-net port, on one CPU, and that we take,
stamp and append to the capture ring on the other. Peers on virtio_user with the same generator: testpmd's rxonly, which
neither looks at frames nor copies nor stamps, and its icmpecho, which reads the headers of each and drops it. And what is
written to /dev/null when all of the receiving side has one CPU: by us, and by dpdk-dumpcap beside a testpmd that receives.
A host may move the two CPUs apart (a cache line there and back takes 53 ns or 350); ours and a peer are a pair when it did
not between them, others are thrown away, and the distances of the pairs are shown. Takes root, two CPUs and 1.5 GiB of
hugepages, which are given back."""
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import time

import borrowed  # beside ../run

PAGES = 768
TESTPMD = "dpdk-testpmd"
DUMPCAP = "dpdk-dumpcap"
ON_ONE_CPU = ("taskset", "-c", "1")
Place = collections.namedtuple("Place", "folder huge sock kind seconds")


def testpmd(place, cpu, name, vdev, mode, log, more=("--in-memory",)):
    # Both lcores on one CPU: the main one only waits.
    command = [TESTPMD, "--lcores", f"0@{cpu},1@{cpu}", "--no-pci", *more, "--huge-dir", place.huge, "--file-prefix", name,
               "--single-file-segments", "-m", "512", "--vdev", vdev, "--", f"--forward-mode={mode}", "--auto-start",
               "--stats-period", "1", "--no-lsc-interrupt"]
    if mode == "txonly":
        command += ["--txpkts=64"]
    else:
        command += ["--no-flush-rx"]
    return borrowed.started(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=dpdk_environment(place))


def dpdk_environment(place):
    """What DPDK leaves of its processes goes with the folder."""
    return os.environ | {"RUNTIME_DIRECTORY": place.folder}


def virtio_user(place):
    return f"virtio_user0,path={place.sock},queues=1,queue_size=1024,packed_vq={int(place.kind == 'packed')}"


def words(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def wait_for(ready, process, log):
    deadline = time.monotonic() + 20
    while not ready():
        if time.monotonic() > deadline or process.poll() is not None:
            sys.exit(f"testpmd does not come up:\n{words(log)[-2000:]}")
        time.sleep(0.1)


def distance(context):
    """Nanoseconds that a cache line takes from one CPU to the other and back."""
    said = subprocess.run([context.bin("rx_bench"), "cores"], capture_output=True, text=True, check=True).stdout
    return json.loads(said)["round_trip_ns"]


def captured(context, place, more, before=()):
    """What vigia-capture says of itself."""
    stats = os.path.join(place.folder, "stats.json")
    done = borrowed.run([*before, context.bin("vigia-capture"), "run", "--device", f"vhost-user:{place.sock},ring={place.kind}",
                         "--cpus", "1", "--queue-size", "1024", "--for", f"{place.seconds}s", "--stats-json", stats, *more],
                        capture_output=True, text=True, env=os.environ | {"VIGIA_RUN_DIR": place.folder})
    if done.returncode != 0:
        sys.exit(f"vigia-capture failed ({done.returncode}):\n{done.stderr}")
    return json.loads(words(stats))


def into_ring(context, place):
    result = captured(context, place, ["--poll"])
    return result["frames"] / result["seconds"] / 1e6, result["lost"]


def into_null(context, place):
    result = captured(context, place, ["--out", null(place)], ON_ONE_CPU)
    return result["accounts"]["store.stored"] / result["seconds"] / 1e6, result["lost"]


def null(place):
    path = os.path.join(place.folder, "null.pcapng")
    if not os.path.lexists(path):
        os.symlink("/dev/null", path)
    return path


def forwarding(mode):
    def rate(context, place):
        log = os.path.join(place.folder, f"{mode}.log")
        with open(log, "w", encoding="utf-8") as f, testpmd(place, 1, "rx", virtio_user(place), mode, f):
            time.sleep(place.seconds + 4)
        busy = [int(r) / 1e6 for r in re.findall(r"Rx-pps:\s+(\d+)", words(log)) if r != "0"][1:]  # the first second is not a whole one
        if not busy:
            sys.exit(f"testpmd received nothing:\n{words(log)[-2000:]}")
        return context.spread(busy)[0], None
    return rate


def dumpcap(_context, place):
    """It attaches to the testpmd that receives, whose callback copies each frame for it."""
    log = os.path.join(place.folder, "shared.log")
    with open(log, "w", encoding="utf-8") as f, testpmd(place, 1, "shared", virtio_user(place), "rxonly", f, more=()) as process:
        wait_for(lambda: "Rx-pps" in words(log), process, log)
        # The pool that it makes names its operations by their number in a table, which must be the same in both: they
        # register in the order in which they are loaded, and testpmd is linked with some of those libraries.
        linked = subprocess.run(["ldd", shutil.which(TESTPMD)], capture_output=True, text=True, check=True).stdout
        pools = ":".join(re.findall(r"/\S*librte_mempool_\S+", linked))
        # 64 K frames between the two, because they take turns on their CPU: of its own 2048, most were lost.
        done = borrowed.run([*ON_ONE_CPU, DUMPCAP, "--file-prefix", "shared", "-i", "0", "-q", "-s", "96", "-N", "65536",
                             "-a", f"duration:{place.seconds}", "-w", null(place)],
                            capture_output=True, text=True, env=dpdk_environment(place) | {"LD_PRELOAD": pools})
    found = re.search(r"Packets received/dropped[^:]*: (\d+)/(\d+)", done.stderr)
    if not found or found[1] == "0":
        sys.exit(f"{DUMPCAP} captured nothing ({done.returncode}):\n{done.stdout}{done.stderr}")
    return int(found[1]) / place.seconds / 1e6, int(found[2])


Contest = collections.namedtuple("Contest", "ours peer reference more")
CONTESTS = {
    "": Contest(into_ring, forwarding("rxonly"), "testpmd rxonly on virtio_user, which neither looks at frames nor copies nor stamps",
                {"goal": 0.95}),
    ".icmpecho": Contest(into_ring, forwarding("icmpecho"),
                         "testpmd icmpecho on virtio_user, which reads the headers of each frame and drops it", {}),
    ".null": Contest(into_null, dumpcap, "dpdk-dumpcap, with the testpmd that it attaches to on the same CPU", {}),
}


def pair(context, place, contest):
    """Ours, then the peer, on one generator; and how far apart the CPUs were before, between and after."""
    tx_log = os.path.join(place.folder, "txonly.log")
    try:
        with open(tx_log, "w", encoding="utf-8") as log, testpmd(place, 0, "tx", f"net_vhost0,iface={place.sock},queues=1", "txonly", log) as tx:
            wait_for(lambda: os.path.exists(place.sock), tx, tx_log)
            got = {"distance": [distance(context)]}
            got["ours"], got["lost"] = contest.ours(context, place)
            got["distance"].append(distance(context))
            got["peer"], got["peer_lost"] = contest.peer(context, place)
            got["distance"].append(distance(context))
    finally:
        if os.path.exists(place.sock):
            os.unlink(place.sock)
    return got


def rx_virtio(context, kind):
    missing = [p for p in (TESTPMD, DUMPCAP) if not shutil.which(p)]
    if os.geteuid() != 0 or missing or os.cpu_count() < 2:
        context.say(f"rx_virtio.{kind} is left out: it takes root, two CPUs and {', '.join(missing) or 'nothing more'} (Debian: dpdk-dev)")
        return
    with borrowed.folder() as folder, borrowed.hugepages(PAGES), borrowed.hugetlbfs(f"{folder}/huge") as huge:
        place = Place(folder, huge, os.path.join(folder, "vhost.sock"), kind, 2 if context.quick else 3)
        for name, contest in CONTESTS.items():
            pairs, thrown = [], 0
            while len(pairs) < context.runs and thrown < 5 * context.runs:
                got = pair(context, place, contest)
                if max(got["distance"]) > 2 * min(got["distance"]):
                    thrown += 1
                else:
                    pairs.append(got)
            if not pairs:
                context.say(f"rx_virtio.{kind}{name}: the host moved the CPUs in each of {thrown} pairs")
                continue
            yield row(context, f"rx_virtio.{kind}{name}", contest, pairs, thrown)


def row(context, name, contest, pairs, thrown):
    median, mad = context.spread([p["ours"] for p in pairs])
    peer, peer_mad = context.spread([p["peer"] for p in pairs])
    result = {"name": name, "unit": "Mpps", "runs": len(pairs), "median": round(median, 3), "mad": round(mad, 3),
              "lost": sum(p["lost"] for p in pairs), "reference": contest.reference, "reference_median": round(peer, 3),
              "reference_mad": round(peer_mad, 3), "pair_ratios": [round(p["ours"] / p["peer"], 3) for p in pairs],
              "cpu_distance_ns": [p["distance"][0] for p in pairs], "thrown_away": thrown}
    if pairs[0]["peer_lost"] is not None:
        result["reference_lost"] = sum(p["peer_lost"] for p in pairs)
    # Of pairs, some near and some far: the ratio of the medians would be that of no pair.
    result["ratio"] = round(context.spread([p["ours"] / p["peer"] for p in pairs])[0], 3)
    return result | contest.more


BENCHES = {f"rx_virtio.{kind}": lambda context, kind=kind: rx_virtio(context, kind) for kind in ("split", "packed")}
