#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions per frame of driver, engine and ring, as callgrind counts them: the same number on a busy machine.

usage: instructions.py BIN/rx_bench [--record]

Compares with baseline.json beside this file and fails above it by more than 3 %; below it asks for a new record. Below half of it, it
fails as well: then something else was counted, or nothing.
Exit status: 0 within bounds, 1 worse, 77 when valgrind is missing or another compiler built the program.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

BASELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "baseline.json")
BOUND = 1.03
FRAMES = 64_000
CASES = {"64": ["--lengths", "60"], "256": ["--lengths", "252"], "1514": ["--lengths", "1514"],
         "imix": ["--lengths", "imix"], "64.dedup": ["--lengths", "60", "--dedup", "on"]}


def baseline():
    try:
        with open(BASELINE, encoding="utf-8") as f:
            return json.load(f)["instructions_per_frame"]
    except OSError:
        return {}


def count(program, words):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        # glibc's and our run-time choices follow the processor that valgrind shows, which is one and the same everywhere.
        done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--collect-atstart=no",
                               "--toggle-collect=vigia::bench::counted_step*", program, "frames", "--count", str(FRAMES), *words],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"callgrind of {program} failed ({done.returncode}):\n{done.stderr}")
        collected = re.search(r"Collected : (\d+)", done.stderr)
        if not collected or int(collected[1]) == 0:
            sys.exit(f"callgrind collected nothing in counted_step:\n{done.stderr}")
        return round(int(collected[1]) / FRAMES, 2)


def measure(program):
    return {name: count(program, words) for name, words in CASES.items()}


def compiler_of(program):
    done = subprocess.run(["readelf", "-p", ".comment", program], capture_output=True, text=True, check=False)
    found = re.search(r"(GCC|clang)[^)]*?(\d+)\.\d+\.\d+", done.stdout)
    return f"{found[1]} {found[2]}" if found else "unknown"


def main():
    words = [w for w in sys.argv[1:] if w != "--record"]
    if len(words) != 1:
        sys.exit(__doc__)
    if not shutil.which("valgrind"):
        print("instructions: valgrind is missing: not counted", file=sys.stderr)
        return 77
    program, compiler = words[0], compiler_of(words[0])
    if "--record" in sys.argv:
        with open(BASELINE, "w", encoding="utf-8") as f:
            json.dump({"compiler": compiler, "instructions_per_frame": measure(program)}, f, indent=2)
            f.write("\n")
        return 0
    with open(BASELINE, encoding="utf-8") as f:
        known = json.load(f)
    if known["compiler"] != compiler:
        print(f"instructions: built by {compiler}, the baseline by {known['compiler']}: not compared", file=sys.stderr)
        return 77
    worse = False
    for name, value in measure(program).items():
        before = known["instructions_per_frame"][name]
        verdict = ("WORSE" if value > before * BOUND else "NOT THE SAME THING" if value < before / 2 else
                   "better: record it" if value < before / BOUND else "as recorded")
        worse |= verdict.isupper()
        print(f"{name:<12} {value:>8.2f} instructions/frame, recorded {before:.2f}: {verdict}")
    if worse:
        print(f"instructions: more than {BOUND - 1:.0%} above {os.path.relpath(BASELINE)}, or below half of it; if it is right "
              f"and worth it, record it: {os.path.relpath(sys.argv[0])} {program} --record", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
