#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/run, ended by signals at any moment, leaves hugepages, mounts, namespaces, processes and folders as they were.
Status 77 without root."""
import argparse
import importlib.machinery
import importlib.util
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = 77
ROUNDS = 12
SLEEPER = "1000"  # seconds, of a child that only waits


def benchmark(_context):
    """Takes everything that benchmarks take, again and again, so that a signal meets every moment of it."""
    import borrowed  # beside benchmarks/run, which knows where it is
    while True:
        with borrowed.folder() as folder, borrowed.hugepages(2), borrowed.hugetlbfs(f"{folder}/huge"), \
                borrowed.namespace(f"vigia-test-{os.getpid()}") as name, \
                borrowed.started(["ip", "netns", "exec", name, "sleep", SLEEPER]), \
                borrowed.started(["sh", "-c", "trap '' TERM; sleep 0.2"]):  # whoever needs time to end
            borrowed.run(["true"], check=True)
            yield {"name": "taken", "unit": "times", "median": 1, "mad": 0}


def runner():
    """What `benchmarks/run NAME` does, with the benchmark above."""
    loader = importlib.machinery.SourceFileLoader("bench_run", os.path.join(ROOT, "benchmarks", "run"))
    run = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", loader))
    loader.exec_module(run)
    run.load_parts = lambda: {"test": benchmark}
    run.compiler = lambda: "none"  # which built the programs of a benchmark; here are none
    sys.argv = ["run", "test"]
    run.borrowed.guarded(run.main)


def processes(folder):
    """Of ours: they have the folder's name in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f, open(f"/proc/{pid}/cmdline", "rb") as words:
                if f"TMPDIR={folder}".encode() in f.read():
                    found.append(f"{pid}: {words.read().decode()}")
        except OSError:
            pass
    return found


def state(folder):
    with open("/proc/sys/vm/nr_hugepages", encoding="ascii") as pages, open("/proc/mounts", encoding="utf-8") as mounts:
        return {"hugepages": pages.read().strip(), "mounts": [line for line in mounts if folder in line],
                "processes": processes(folder), "folders": os.listdir(folder),
                "namespaces": [n for n in names_in("/run/netns") if n.startswith("vigia-test-")]}


def names_in(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []


def one_round(folder, numbers, wait):
    bench = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--runner"], env=os.environ | {"TMPDIR": folder},
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    bench.stdout.readline()  # the machine's line: the benchmark begins
    time.sleep(wait)
    for number in numbers:
        bench.send_signal(number)
        time.sleep(0.01)
    said = bench.communicate(timeout=40)[1]
    name = signal.Signals(numbers[0]).name
    if bench.returncode != 128 + numbers[0] or f"ended by {name}" not in said:
        sys.exit(f"{name} after {wait:.3f} s: status {bench.returncode}, it said:\n{said}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runner", action="store_true", help="be the process that is ended")
    if parser.parse_args().runner:
        runner()
        return 0
    if os.geteuid() != 0:
        print("SKIPPED: takes root")
        return SKIPPED
    cases = [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]]
    with tempfile.TemporaryDirectory(prefix="vigia-") as folder:
        before = state(folder)
        for i in range(ROUNDS):
            wait = random.uniform(0, 0.4)
            one_round(folder, cases[i % len(cases)], wait)
            after = state(folder)
            if after != before:
                print(f"{cases[i % len(cases)]} after {wait:.3f} s: before\n{before}\nand after\n{after}")
                return 1
    return 0


sys.exit(main())
