# SPDX-License-Identifier: Apache-2.0
"""store: from the ring to the disk. The limit is fio: sequential O_DIRECT writes of blocks of the same size, as many in
flight, into reserved files of the same size on the same file system, from registered buffers on hugepages to registered
files. fio has its files before its clock runs and deletes none in that time; ours are created and ended inside, and, but
for store.ring.quota, none is deleted. Limit and store write in turn, each when the disk is done with what the one before
left behind; the ratio is the median of the turns' ratios. The peers are tcpdump, dumpcap and netsniff-ng, which store
what they receive of the same frames on a veth pair. VIGIA_BENCH_DIR: a directory on the disk that is meant, with 30 GiB
free (default: the temporary one)."""
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time

import borrowed  # beside ../run

GIB = 1 << 30
FRAME = 1514
DEPTH = 16  # BlockQueue::kDepth


FILE_BYTES = 2 * GIB  # of a RAW file
WAYS = {"plain": [], "registered": ["--fixedbufs=1", "--registerfiles=1", "--mem=shmhuge"]}


def room(folder, seconds):
    """Bytes of whole files: more than a disk takes in that time, but not more than it has."""
    return max(2, min(5 * seconds * GIB, shutil.disk_usage(folder).free // 2) // FILE_BYTES) * FILE_BYTES


def settle(folder):
    """Until the disk has done what deleted files left behind: a file system that tells it what is free keeps it busy."""
    os.sync()
    major, minor = (number(os.stat(folder).st_dev) for number in (os.major, os.minor))
    file = f"/sys/dev/block/{major}:{minor}/stat"
    before, quiet, end = None, 0, time.monotonic() + 10
    while os.path.exists(file) and quiet < 5 and time.monotonic() < end:
        with open(file, encoding="ascii") as f:
            now = f.read()
        in_flight = int(now.split()[8])
        quiet = quiet + 1 if now == before and in_flight == 0 else 0
        before = now
        time.sleep(0.03)


def fio(folder, seconds, way):
    """GiB/s into space that was never written, as a capture's, and the CPU time of it in cores."""
    settle(folder)
    done = borrowed.run(
        ["fio", "--name=limit", f"--directory={folder}", "--rw=write", "--bs=1M", "--direct=1", "--ioengine=io_uring",
         f"--iodepth={DEPTH}", f"--nrfiles={room(folder, seconds) // FILE_BYTES}", f"--filesize={FILE_BYTES}",
         "--file_service_type=sequential", "--fallocate=native", f"--runtime={seconds}", "--output-format=json", *WAYS[way]],
        capture_output=True, text=True)
    for file in os.listdir(folder):
        if file.startswith("limit."):
            os.unlink(os.path.join(folder, file))
    if done.returncode != 0:
        sys.exit(f"fio failed ({done.returncode}):\n{done.stderr}{done.stdout}")
    job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
    return job["write"]["bw_bytes"] / GIB, (job["usr_cpu"] + job["sys_cpu"]) / 100


def simulate(context, what, folder, seconds, quota=None):
    """GiB/s, the CPU time of the store's thread in cores, and the report. quota: of files; None: nothing is deleted."""
    quota = quota * FILE_BYTES if quota else room(folder, seconds)
    settle(folder)
    done = borrowed.run([context.bin("vigia-capture"), "run", "--simulate", what, "--raw", f"{folder}/raw", "--quota",
                         str(quota), "--for", f"{seconds}s", "--stats-json", "-"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"vigia-capture run --simulate {what} failed ({done.returncode}):\n{done.stderr}")
    run = json.loads(done.stdout)
    return run["disk_bytes"] / run["seconds"] / GIB, run["store_cpu_seconds"] / run["seconds"], run


def busy_seconds():
    """CPU time of the whole machine: interrupts and the kernel's workers too."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq = (int(word) for word in f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def unreserved(context, folder, seconds):
    with borrowed.hugepages(-HUGEPAGES):
        return simulate(context, "capture", folder, seconds)


# The store as it is, with no hugepages reserved, deleting, and the disk as its own writes find it.
RUNS = {"store.ring": lambda *where: simulate(where[0], "capture", *where[1:]),
        "store.ring.unreserved": unreserved,
        "store.ring.quota": lambda *where: simulate(where[0], "capture", *where[1:], quota=2),
        "store.blocks": lambda *where: simulate(where[0], "store", *where[1:])}


def ring_to_disk(context):
    seconds, turns = (1, context.runs) if context.quick else (3, 2 * context.runs)
    fio_way = "registered" if os.geteuid() == 0 else "plain"  # hugepages take root
    limit, limit_cpu, seen, machine = [], [], {name: [] for name in RUNS}, []
    with borrowed.folder(os.environ.get("VIGIA_BENCH_DIR")) as folder, borrowed.hugepages(HUGEPAGES):
        for turn in range(turns):
            # The disk's mood changes from second to second: the limit is next to what is compared with it, on either side.
            for name in ["fio", *RUNS] if turn % 2 == 0 else [*reversed(RUNS), "fio"]:
                if name == "fio":
                    rate, cpu = fio(folder, seconds, fio_way)
                    limit.append(rate)
                    limit_cpu.append(cpu)
                    continue
                before, begin = busy_seconds(), time.monotonic()
                seen[name].append(RUNS[name](context, folder, seconds))
                if name == "store.ring":
                    machine.append((busy_seconds() - before) / (time.monotonic() - begin))
    median, mad = context.spread(limit)
    reference = {"reference": f"fio, 1 MiB O_DIRECT writes, {DEPTH} in flight, {fio_way}", "reference_median": round(median, 3),
                 "reference_mad": round(mad, 3)}
    for name, runs in seen.items():
        median, mad = context.spread([rate for rate, _, _ in runs])
        ratio, ratio_mad = context.spread([run[0] / rate for run, rate in zip(runs, limit)])
        goal = {"goal": 0.95} if name == "store.ring" else {}
        report = runs[-1][2]
        yield {"name": name, "unit": "GiB/s", "runs": turns, "median": round(median, 3), "mad": round(mad, 3),
               "ratio": round(ratio, 3), "ratio_mad": round(ratio_mad, 3), "lost": sum(run["lost"] for _, _, run in runs),
               "way": report["store"], "hugepages": report["hugepages"]} | goal | reference
    median, mad = context.spread([cpu for _, cpu, _ in seen["store.ring"]])
    yield {"name": "store.cpu", "unit": "cores", "runs": turns, "median": round(median, 3), "mad": round(mad, 3),
           "reference": "half a core", "reference_median": 0.5, "lower_is_better": True,
           "machine_cores": round(context.spread(machine)[0], 3), "fio_cores": round(context.spread(limit_cpu)[0], 3)}


# Of 2 MiB: a ring of 256 MiB, and fio's blocks. On pages of 4 KiB a block is 256 pieces, which a virtual disk takes in
# several requests. Without root: what there is.
HUGEPAGES = 160


@contextlib.contextmanager
def veth_pair():
    """Two ends, from and to, in a network namespace of their own: what a peer captures, nobody else sees."""
    with borrowed.namespace(f"vigia-bench-{os.getpid()}") as name:
        pair = VethPair(name)
        pair.ip("link", "add", "name", "from", "type", "veth", "peer", "name", "to")
        for end in ("from", "to"):
            pair.inside("sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1")
            pair.ip("link", "set", "dev", end, "mtu", "9000", "up")
        yield pair


class VethPair:
    def __init__(self, namespace):
        self.name = namespace

    def ip(self, *words):
        borrowed.run(["ip", "-n", self.name, *words], check=True)

    def inside(self, *words):
        borrowed.run(["ip", "netns", "exec", self.name, *words], check=True, capture_output=True)

    def start(self, words):
        return borrowed.started(["ip", "netns", "exec", self.name, *words], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)


TRAFGEN = "{ 0x02,0,0,0,0,2, 0x02,0,0,0,0,1, 0x88,0xb5, fill(0x5a, %d) }\n" % (FRAME - 14)


def writers(context, file, folder):
    """Who stores frames, and how: name, words, file that is written."""
    yield "tcpdump", ["tcpdump", "-i", "to", "-B", "65536", "-s", "0", "-w", file]
    yield "dumpcap", ["dumpcap", "-q", "-i", "to", "-B", "64", "-w", file]
    yield "netsniff-ng", ["netsniff-ng", "-i", "to", "-o", file, "-s", "--ring-size", "64MiB"]
    yield "vigia", [context.bin("vigia-capture"), "run", "--device", "packet:to", "--name", f"bench{os.getpid()}", "--raw",
                    folder]


def stored_frames(context, file, folder):
    path = folder if os.path.isdir(folder) else file
    if path == file and not os.path.exists(file):
        return 0
    done = subprocess.run([context.bin("vigia-capture"), "info", path, "--json"], capture_output=True, text=True, check=False)
    return json.loads(done.stdout)["frames"] if done.returncode == 0 else 0


def one_peer(context, pair, words, folder, frames):
    """CPU seconds per GB stored, and frames lost."""
    file, raw = f"{folder}/peer.pcap", f"{folder}/peer.raw"
    with pair.start(words) as writer:
        time.sleep(1.5)
        if writer.poll() is not None:
            return None, writer.stderr.read().strip().splitlines()[-1:]
        config = f"{folder}/trafgen.cfg"
        pair.inside("trafgen", "-i", config, "-o", "from", "-n", str(frames), "-P", "1", "-q")
        time.sleep(1)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        writer.send_signal(2)
        writer.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    stored = stored_frames(context, file, raw)
    for path in (file, raw):
        shutil.rmtree(path, ignore_errors=True)
        if os.path.exists(path):
            os.unlink(path)
    if stored == 0:
        return None, ["stored nothing"]
    return (cpu / (stored * FRAME / 1e9), frames - stored), []


def peers(context):
    if os.geteuid() != 0 or not shutil.which("trafgen"):
        context.say("store.peers: skipped, needs root and trafgen (apt-get install netsniff-ng)")
        return
    frames = 200_000 if context.quick else 2_000_000
    samples = {}
    with borrowed.folder(os.environ.get("VIGIA_BENCH_DIR")) as folder, veth_pair() as pair:
        os.chmod(folder, 0o777)  # some of them drop their rights
        with open(f"{folder}/trafgen.cfg", "w", encoding="utf-8") as f:
            f.write(TRAFGEN)
        for _ in range(context.runs):
            for name, words in writers(context, f"{folder}/peer.pcap", f"{folder}/peer.raw"):
                if not os.path.isabs(words[0]) and not shutil.which(words[0]):
                    context.say(f"store.peers: {name} is not installed")
                    continue
                got, why = one_peer(context, pair, words, folder, frames)
                if got is None:
                    context.say(f"store.peers: {name} did not run: {' '.join(why)}")
                    continue
                samples.setdefault(name, []).append(got)
    best = min((context.spread([cpu for cpu, _ in v])[0] for n, v in samples.items() if n != "vigia"), default=None)
    for name, values in samples.items():
        median, mad = context.spread([cpu for cpu, _ in values])
        row = {"name": f"store.peers.{name}", "unit": "CPU s/GB", "runs": len(values), "median": round(median, 4),
               "mad": round(mad, 4), "lost": sum(lost for _, lost in values), "frames": frames * len(values)}
        if name == "vigia" and best:
            row |= {"reference": "the best peer", "reference_median": round(best, 4)}
        yield row


BENCHES = {"store.ring": ring_to_disk, "store.peers": peers}
