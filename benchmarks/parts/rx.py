# SPDX-License-Identifier: Apache-2.0
"""The receive path. rx_memory: driver, engine and ring on descriptors that are always ready, beside a loop that copies the
same bytes and headers. rx_softnic: the same behind the software 82599 on another core, the highest rate without loss.
idle: what a waiting engine costs. instructions: counted per frame by callgrind, beside a recorded baseline."""
import dataclasses
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "rx"))

import borrowed  # noqa: E402  (beside ../run)
import instructions  # noqa: E402
import search  # noqa: E402

LINE_RATE = 14.88e6  # frames of 64 bytes on 10 Gb/s: 10e9 / ((64 + 20) * 8)
# Bytes with FCS as everybody names them, except the largest; without FCS, as memory holds them.
SIZES = {"64": "60", "128": "124", "256": "252", "512": "508", "1024": "1020", "1514": "1514", "imix": "imix"}


def bench(context, *words):
    # The PF's journal is synced to the disk at each end, which takes seconds on a busy one.
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with borrowed.folder(memory) as folder:
        done = borrowed.run([context.bin("rx_bench"), *map(str, words)], capture_output=True, text=True,
                            env=os.environ | {"TMPDIR": folder})
    if done.returncode != 0:
        sys.exit(f"rx_bench {' '.join(map(str, words))} failed ({done.returncode}):\n{done.stderr}")
    return json.loads(done.stdout)


def trace():
    data = os.environ.get("VIGIA_DATA", os.path.join(HERE, "..", "..", "..", "shared", "data"))
    file = os.path.join(data, "mixed", "mixed-internet.pcap")
    return file if os.path.exists(file) else None


def memory_row(context, name, lengths, *words, beside="limit", reference="copy of the same bytes and headers"):
    got = bench(context, "memory", "--lengths", lengths, "--runs", context.runs, "--seconds",
                0.05 if context.quick else 0.3, *words)
    rate, mad = context.spread(got["frames_per_second"])
    other, _ = context.spread(got[beside])
    return {"name": name, "unit": "M frames/s", "runs": context.runs, "median": round(rate / 1e6, 3),
            "mad": round(mad / 1e6, 3), "reference": reference, "reference_median": round(other / 1e6, 3),
            "ratio": round(rate / other, 3), "cycles_per_frame": round(got["ticks_per_second"] / rate, 1),
            "hugepages": got["hugepages"]}


def rx_memory(context):
    for name, lengths in SIZES.items():
        yield memory_row(context, f"rx_memory.{name}", lengths)
    if trace():
        yield memory_row(context, "rx_memory.trace", trace())
    else:
        context.say("rx_memory.trace: no ../shared/data/mixed/mixed-internet.pcap (VIGIA_DATA); left out")
    yield memory_row(context, "rx_memory.64.dedup", "60", "--dedup", "on")
    # Threads of other cores that read along: what they cost the engine is what they take from its caches. They come and
    # go within a process: two processes have other pages, which alone makes them differ by a tenth.
    for name, words in {"listeners_1": ["--listeners", 1], "listeners_4": ["--listeners", 4],
                        "stalled": ["--stalled", 1]}.items():
        yield memory_row(context, f"rx_memory.64.{name}", "60", *words, beside="without_listeners",
                         reference="the same before they joined")


KPT, WDTS = ["--clock", "kpt"], ["--clock", "wdts"]  # else hybrid, which takes what fits
CASES = {
    "64": [], "64.kpt": KPT, "64.wdts": WDTS, "64.queues_2": ["--queues", 2], "64.listeners_2": ["--listeners", 2],
    "64.listeners_4": ["--listeners", 4], "64.stalled": ["--stalled", 1], "64.dedup": ["--dedup", "on"],
    "256": ["--size", 256], "1514": ["--size", 1518],
}
# Those whose highest rate without loss is searched, which takes a minute each.
SEARCHED = ["64", "64.kpt", "64.queues_2", "64.listeners_4", "64.stalled", "64.dedup"]
RING = 4096  # descriptors of a queue (rx_bench)


def queues_of(words):
    return words[words.index("--queues") + 1] if "--queues" in words else 1


def softnic(context, rate, count, words):
    """One trial. Poll loops go before ordinary threads, where that is allowed: else one of those that comes to run keeps
    the processor until the kernel's next tick, whatever its priority. Not so engines that share a processor."""
    ahead = queues_of(words) < os.cpu_count()
    return bench(context, "softnic", "--rate", rate, "--count", count, "--realtime", int(ahead), *words)


def longest_pause(got):
    """Microseconds that device or engine was kept from its loop."""
    return max(loop["longest_us"] for loop in (got["sender"], *got["receivers"]))


def cores_apart(context):
    """Nanoseconds for a cache line from one processor to the other and back: decides most of what two threads reach."""
    return bench(context, "cores")["round_trip_ns"]


def machine_pauses(context):
    """Of a loop that does nothing else, on each of two processors: the longest one, and their share of the time."""
    got = bench(context, "pauses", "--seconds", 0.3 if context.quick else 2)
    return {cpu: {"longest_us": p["longest_us"], "share": round(p["sum_us"] / 1e6 / got["seconds"], 4)}
            for cpu, p in got.items() if cpu != "seconds"}


class Trials:
    """Trials of one search, and what disturbed them. A trial is disturbed when the machine kept a loop away for longer than
    half a descriptor ring lasts, and that cost frames: what it shows is the machine."""

    def __init__(self, context, words, seconds):
        self.context, self.words, self.seconds = context, words, seconds
        self.counted, self.disturbed, self.longest_us, self.lost_disturbed = 0, 0, 0, 0
        self.lost = {"no_descriptor": 0, "missed": 0, "ring_full": 0}

    def __call__(self, rate, seconds):
        got = softnic(self.context, f"{rate / 1e6:.4f}mpps", max(1, int(rate * seconds)), self.words)
        held = got["lost"] == 0 and got["sent"] / max(got["seconds"], 1e-9) > rate * 0.98
        if not held and longest_pause(got) > RING / 2 / rate * 1e6:
            self.disturbed += 1
            self.lost_disturbed += got["lost"]
            return None
        self.counted += 1
        self.longest_us = max(self.longest_us, longest_pause(got))
        for account in self.lost:
            self.lost[account] += got[account]
        return held

    def row(self):
        return {"trials": self.counted, "trial_s": self.seconds, "disturbed_trials": self.disturbed, "longest_pause_us": self.longest_us,
                "lost_in_search": self.lost, "lost_in_disturbed_trials": self.lost_disturbed}


def closed_loop(context):
    """The wire waits while a receiver has no descriptor: what the whole chain does at most, nothing lost. The cases take
    turns, so that each meets the same neighbours and the same placement of the processors."""
    rates, pauses, apart = {name: [] for name in CASES}, {name: [] for name in CASES}, []
    for _ in range(context.runs):
        apart.append(cores_apart(context))
        for name, words in CASES.items():
            got = softnic(context, "max", 2_000_000 if context.quick else 10_000_000, words)
            if got["lost"]:
                sys.exit(f"rx_softnic: {got['lost']} frames lost although the wire waits ({name})")
            rates[name].append(got["sent"] / got["seconds"] / 1e6)
            pauses[name].append(longest_pause(got))
    base, _ = context.spread(rates["64"])
    for name, values in rates.items():
        median, mad = context.spread(values)
        beside = ({"reference": "10 Gb/s line rate at 64 bytes", "reference_median": LINE_RATE / 1e6}
                  if name == "64" else {"reference": "rx_softnic.max.64", "reference_median": round(base, 3)})
        row = {"name": f"rx_softnic.max.{name}", "unit": "Mpps", "runs": len(values), "median": round(median, 3),
               "mad": round(mad, 3), "lost": 0, **beside, "ratio": round(median / beside["reference_median"], 3),
               "core_round_trip_ns": apart, "longest_pause_us": pauses[name]}
        if queues_of(CASES[name]) >= os.cpu_count():
            row["note"] = "the engines share a processor: this machine has one for the device and one more"
        yield row


def loss_free(context, name, words):
    """(frames a second, trials) by search, or None when the machine does not let it come to an end, with shorter trials
    neither."""
    goals = search.QUICK if context.quick else search.GOALS
    # Where the wire waits for its receiver nothing is lost: no search will find more. The best of some: a pause counts.
    closed = [softnic(context, "max", int(LINE_RATE * min(goals.trial, 0.5)), words) for _ in range(4)]
    most = max(got["sent"] / got["seconds"] for got in closed)
    for seconds in (goals.trial, goals.trial / 2):
        trials = Trials(context, words, seconds)
        try:
            return search.lossless(trials, most * 1.05, dataclasses.replace(goals, trial=seconds)), trials
        except search.Disturbed:
            # Before a second is over the kernel gives ordinary threads that wait 50 ms, whatever runs.
            context.say(f"rx_softnic.{name}: the machine took the processors away in {trials.disturbed} of "
                        f"{trials.disturbed + trials.counted} trials of {seconds:g} s, where {trials.lost_disturbed} frames were lost")
    return None


def rx_softnic(context):
    pauses = machine_pauses(context)
    for row in closed_loop(context):
        yield row | {"machine_pauses": pauses}
    base = None
    for name in SEARCHED:
        words = CASES[name]
        if queues_of(words) >= os.cpu_count():
            context.say(f"rx_softnic.{name} is left out: engines and device want {queues_of(words) + 1} processors")
            continue
        apart = cores_apart(context)
        # Each result rests on 21 s of trials: it is repetition already.
        found = loss_free(context, name, words)
        if not found:
            continue
        rate, trials = found
        if name == "64":
            base = rate
        row = {"name": f"rx_softnic.{name}", "unit": "Mpps", "runs": 1, "median": round(rate / 1e6, 3), "mad": 0, "lost": 0,
               "exceed_ratio": search.GOALS.exceed, "core_round_trip_ns": [apart, cores_apart(context)], **trials.row(),
               "machine_pauses": pauses}
        if name == "64" or base is None:
            row |= {"reference": "10 Gb/s line rate at 64 bytes", "reference_median": LINE_RATE / 1e6,
                    "ratio": round(rate / LINE_RATE, 3)}
        else:
            row |= {"reference": "rx_softnic.64", "reference_median": round(base / 1e6, 3), "ratio": round(rate / base, 3)}
        yield row


def idle(context):
    """CPU of the engine's thread, adaptive and polling, at no load, 1 % and half of a 10 Gb/s link of 64-byte frames."""
    seconds = 0.5 if context.quick else 3
    for load in (0, 0.01, 0.5):
        rate = max(load * LINE_RATE, 10)  # "no load": ten frames a second, so that there is something to watch
        for poll in (0, 1):
            shares = []
            for _ in range(1 if context.quick else context.runs):
                got = bench(context, "softnic", "--rate", f"{rate / 1e6:.6f}mpps", "--count", max(2, int(rate * seconds)),
                            "--poll", poll)
                shares.append(got["engine_cpu"])
            median, mad = context.spread(shares)
            yield {"name": f"idle.{'poll' if poll else 'adaptive'}.load_{load * 100:g}", "unit": "CPUs",
                   "runs": len(shares), "median": round(median, 3), "mad": round(mad, 3)}


def counted(context):
    for name, value in instructions.measure(context.bin("rx_bench")).items():
        known = instructions.baseline().get(name)
        row = {"name": f"instructions.{name}", "unit": "instructions/frame", "runs": 1, "median": value, "mad": 0}
        if known:
            row |= {"reference": "recorded", "reference_median": known, "ratio": round(value / known, 3)}
        yield row


BENCHES = {"rx_memory": rx_memory, "rx_softnic": rx_softnic, "idle": idle, "instructions": counted}
