# SPDX-License-Identifier: Apache-2.0
"""Errors of time stamps: vigia-softnic --timing 82599 knows when each frame had arrived (--arrivals), stamp_looks what each
policy said of it; all policies judge the same looks at the same frames. The unit is the standard deviation of the error in
nanoseconds, of hybrid, beside the best of kpt, udts and wdts in the same run; per_policy has mean, sd, p50, p99, max (the
last three without the mean, which is what device and look take).

Device and polling thread want a core each. Both measure when the machine kept them from their loops, without looking at
stamps: the device how late it came for a frame, the polling thread its own rounds. Frames that came in such a pause or
waited behind it (until the device's rounds are short again, and until the polling thread finds nothing) are left out of
the figures; `paused` is their share, `sd_with_pauses` the hybrid's figure with them. A run that lost frames, or in which
most were hit, shows nothing and is repeated.
VIGIA_TRACE: another trace than VIGIA_DATA/mixed/mixed-internet.pcap."""
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time

POLICIES = ["kpt", "udts", "wdts", "hybrid"]
LOADS = [0.01, 0.1, 0.5, 0.75, 1.0]
LINE_BITS = 10e9
TRACE_BITS = 564e6  # of the trace behind the published figures, at its own speed
PUBLISHED = {"trace.original": 1093, "trace.wire": 111}  # best policies: kpt, wdts
MAC = "02:00:00:00:00:01"
PF = f'pf:\n  vfs: 2\n  vf:\n    - {{index: 0, mac: "{MAC}"}}\n'
TAP = "  taps:\n    - {name: looks, port: true, to: 0, direction: rx, allow_port_scope: true}\n"  # for whom frames of a trace are not
ATTEMPTS = 4
LATE_NS = 5_000  # a round of the device takes 4 us at most
MOST_PAUSED = 0.5
RING = 4096  # descriptors of stamp_looks
LEARNING_NS = 2e6


def ahead(priority):
    """Before all ordinary processes where that is allowed: one of those keeps a processor until the kernel's next tick."""
    def ask():
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except PermissionError:
            pass
    return ask


def wait_for(path, process, seconds=20):
    end = time.monotonic() + seconds
    while not os.path.exists(path):
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"{process.args[0]} did not become ready")
        time.sleep(0.02)


def trace():
    folder = os.environ.get("VIGIA_DATA", os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared", "data"))
    return os.environ.get("VIGIA_TRACE", os.path.join(folder, "mixed", "mixed-internet.pcap"))


def speed_up(path):
    """By how much the trace is slower than TRACE_BITS, and its frames. Classic pcap, as the traces are."""
    with open(path, "rb") as f:
        head = f.read(24)
        nano = struct.unpack("<I", head[:4])[0] == 0xA1B23C4D
        first = last = None
        bits = frames = 0
        while len(record := f.read(16)) == 16:
            seconds, fraction, captured, wire = struct.unpack("<IIII", record)
            last = seconds + fraction * (1e-9 if nano else 1e-6)
            first = last if first is None else first
            bits += (max(wire, 60) + 24) * 8
            frames += 1
            f.seek(captured, 1)
    return TRACE_BITS / (bits / max(last - first, 1e-9)), frames


def cases(quick):
    """(name, wire, frames)"""
    for size in (64, 1518):
        for load in LOADS[:: 2 if quick else 1]:
            rate = LINE_BITS * load / ((size + 20) * 8)
            count = int(min(max(rate * 0.7, 6_000), 100_000 if quick and size > 64 else 400_000))
            yield f"{size - 4}B.{load:.0%}", f"gen:size={size},flows=4096,dst={MAC},count={count},rate={10 * load:g}gbps", count
    if not os.path.exists(trace()):
        print(f"bench: no {trace()}: the trace's rows are left out", file=sys.stderr)
        return
    factor, frames = speed_up(trace())
    yield "trace.original", f"pcap:{trace()},rate={factor:.3f}x", frames
    for load in LOADS[1:]:
        yield "trace.wire" if load == 1 else f"trace.{load:.0%}", f"pcap:{trace()},rate={10 * load:g}gbps", frames


def delayed(arrivals):
    """Per frame whether the device was kept from it, or was still catching up. What one round of the device handed out was
    over at the same moment: a round counts as delayed when its oldest frame was LATE_NS old, and so do those behind it that
    are longer than two usual ones."""
    rounds = []  # [frames, age of the oldest]
    over = None
    for at, _, late in arrivals:
        if at + late != over:
            over = at + late
            rounds.append([0, 0])
        rounds[-1][0] += 1
        rounds[-1][1] = max(rounds[-1][1], late - 1)
    usual = sorted(age for _, age in rounds)[len(rounds) // 2]
    result, behind = [], False
    for count, age in rounds:
        behind = age > LATE_NS or (behind and age > 2 * usual)
        result += [behind] * count
    return result


def judged_from(arrived):
    """The first frame that is judged. In the receiver's first ring lap the device touches its memory for the first time, a
    microsecond a frame; after it hybrid learns what the link does."""
    lap = first = min(RING, len(arrived) // 4)
    while first < len(arrived) // 2 and arrived[first] < arrived[lap] + LEARNING_NS:
        first += 1
    return first


def run_once(context, folder, wire, frames):
    """Rows of stamp_looks beside true arrivals, or nothing when frames were lost."""
    with tempfile.TemporaryDirectory(dir=folder) as d:
        with open(f"{d}/pf.yaml", "w", encoding="utf-8") as f:
            f.write(PF + ("" if MAC in wire else TAP))
        quiet = {"stdout": subprocess.DEVNULL, "stderr": open(f"{d}/log", "wb")}
        softnic = subprocess.Popen([context.bin("vigia-softnic"), "--dir", d, "--vfs", "2", "--wire", wire, "--timing", "82599",
                                    "--arrivals", f"{d}/arrivals", "--start-when-ready", "2", "--cpu", "0"],
                                   preexec_fn=ahead(50), **quiet)
        started = [softnic]
        try:
            wait_for(f"{d}/pf.sock", softnic)
            pf = subprocess.Popen([context.bin("vigia-pf"), "--device", f"vfio-user:{d}/pf.sock", "--config", f"{d}/pf.yaml",
                                   "--control", f"{d}/control", "--ready-file", f"{d}/ready"],
                                  preexec_fn=ahead(51), **quiet)
            started.append(pf)
            wait_for(f"{d}/ready", pf)
            looks = subprocess.run([context.bin("stamp_looks"), f"vfio-user:{d}/vf0.sock", str(frames), f"{d}/stamps", "1",
                                    f"vfio-user:{d}/vf1.sock"],
                                   stdout=subprocess.PIPE, stderr=quiet["stderr"], text=True, check=False)
        finally:
            for process in reversed(started):
                process.send_signal(signal.SIGINT)
                process.wait(20)
            quiet["stderr"].close()
        if looks.returncode != 0:
            with open(f"{d}/log", encoding="utf-8") as log:
                sys.exit(f"stamp_looks failed:\n{log.read()}")
        with open(f"{d}/arrivals", "rb") as f:
            arrivals = [a for a in struct.iter_unpack("<QII", f.read()) if a[2]]
        with open(f"{d}/stamps", "rb") as f:
            stamps = list(struct.iter_unpack("<II4Q", f.read()))
    if [a[1] for a in arrivals] != [s[0] for s in stamps]:
        context.say(f"{wire}: {len(arrivals)} frames arrived, {len(stamps)} were stamped")
        return None
    hit = [s[1] != 0 or late for late, s in zip(delayed(arrivals), stamps)]
    reached = (len(arrivals) - 1) / max(arrivals[-1][0] - arrivals[0][0], 1) * 1e3
    first = judged_from([a[0] for a in arrivals])
    arrivals, stamps, hit = arrivals[first:], stamps[first:], hit[first:]
    return [[s[2 + i] - a[0] for a, s in zip(arrivals, stamps)] for i in range(len(POLICIES))], hit, reached


def summary(errors):
    mean = sum(errors) / len(errors)
    rest = sorted(abs(e - mean) for e in errors)
    sd = (sum(e * e for e in rest) / len(rest)) ** 0.5
    return {"mean": round(mean, 1), "sd": round(sd, 1), "p50": round(rest[len(rest) // 2], 1),
            "p99": round(rest[len(rest) * 99 // 100], 1), "max": round(rest[-1], 1)}


def judged(context, folder, wire, frames):
    """Per policy what summary() says, of the frames that no pause hit; their share; the hybrid's sd with them."""
    for _ in range(ATTEMPTS):
        got = run_once(context, folder, wire, frames)
        if got is None:
            continue
        errors, hit, reached = got
        share = sum(hit) / len(hit)
        if share > MOST_PAUSED:
            context.say(f"{wire}: the device came late for {share:.0%} of the frames; it did {reached:.2f} Mpps")
            continue
        clean = {p: summary([e for e, h in zip(errors[i], hit) if not h]) for i, p in enumerate(POLICIES)}
        return clean, share, summary(errors[POLICIES.index("hybrid")])["sd"]
    return None


def timestamps(context):
    runs = 1 if context.quick else min(context.runs, 3)
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=folder, prefix="vigia-") as folder:
        for name, wire, frames in cases(context.quick):
            results = [r for r in (judged(context, folder, wire, frames) for _ in range(runs)) if r]
            if not results:
                context.say(f"{name}: no run without loss or pauses: too slow, or no two cores free")
                continue
            of = {p: context.spread([r[0][p]["sd"] for r in results]) for p in POLICIES}
            best = min(POLICIES[:3], key=lambda p: of[p][0])  # pylint: disable=cell-var-from-loop
            row = {"name": f"timestamps.{name}", "unit": "ns sd, hybrid", "runs": len(results),
                   "median": of["hybrid"][0], "mad": of["hybrid"][1], "reference": f"best fixed policy, {best}",
                   "reference_median": of[best][0], "ratio": round(of["hybrid"][0] / max(of[best][0], 0.1), 3),
                   "goal": 1.1, "lower_is_better": True,
                   "per_policy": {p: {k: context.spread([r[0][p][k] for r in results])[0] for k in results[0][0][p]}
                                  for p in POLICIES},
                   "paused": round(context.spread([r[1] for r in results])[0], 4),
                   "sd_with_pauses": context.spread([r[2] for r in results])[0]}
            if name in PUBLISHED:
                row["published_best_sd"] = PUBLISHED[name]
            yield row


BENCHES = {"timestamps": timestamps}
