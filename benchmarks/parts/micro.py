# SPDX-License-Identifier: Apache-2.0
"""The Google Benchmark programs build/bin/bench_*. A benchmark called NAME_limit is the limit of the others with the same
arguments in its program."""
import glob
import json
import os
import subprocess
import sys


def micro(context, program):
    seconds = "0.02" if context.quick else "0.1"
    done = subprocess.run([context.bin(program), "--benchmark_format=json", f"--benchmark_repetitions={context.runs}",
                           f"--benchmark_min_time={seconds}"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{program} failed ({done.returncode}):\n{done.stderr}")
    samples = {}
    for b in json.loads(done.stdout)["benchmarks"]:
        if b.get("run_type") == "iteration":
            samples.setdefault(b["run_name"], []).append(b.get("items_per_second", 1e9 / b["real_time"]) / 1e6)
    medians = {name: context.spread(values) for name, values in samples.items()}
    for name, (median, mad) in medians.items():
        arguments = name.partition("/")[2]
        limit = next((n for n in medians if n.partition("/")[0].endswith("_limit") and n.partition("/")[2] == arguments), None)
        row = {"name": f"{program}.{name}", "unit": "M/s", "runs": context.runs, "median": round(median, 3),
               "mad": round(mad, 3)}
        if limit and limit != name:
            row |= {"reference": limit, "reference_median": round(medians[limit][0], 3)}
        yield row


PROGRAMS = sorted(os.path.splitext(os.path.basename(p))[0]
                  for p in glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench_*.cc")))
BENCHES = {program: lambda context, program=program: micro(context, program) for program in PROGRAMS}
