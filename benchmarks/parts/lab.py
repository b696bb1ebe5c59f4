# SPDX-License-Identifier: Apache-2.0
"""10 million 64-byte frames from the generator through the switch, an agent's descriptor ring, engine and capture ring,
then nowhere or to disk: from the first frame on the wire until the last is where it belongs. VIGIA_BENCH_DIR: the disk."""
import json
import os
import sys

import borrowed  # beside ../run

LINE_RATE_MPPS = 14.88  # 64-byte frames on 10 Gb/s: 10e9 / ((64 + 20) * 8)

SPEC = """lab:
  vfs: 1
  traffic: {{gen: {{size: 64, flows: 4096, count: {count}}}}}
  agent: {{name: agent, vf: 0, tap: {{port: true, direction: rx}}, out: {out}}}
"""


def lab(context, out):
    frames = 1_000_000 if context.quick else 10_000_000
    rates, lost = [], 0
    with borrowed.folder(os.environ.get("VIGIA_BENCH_DIR")) as folder:
        spec = os.path.join(folder, "lab.yaml")
        with open(spec, "w", encoding="utf-8") as f:
            f.write(SPEC.format(count=frames, out=out))
        for _ in range(context.runs):
            done = borrowed.run([context.bin("vigia"), "lab", "run", spec, "--out", f"{folder}/out", "--json"],
                                capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(f"lab run failed ({done.returncode}):\n{done.stderr}")
            result = json.loads(done.stdout)
            rates.append(frames / result["timings"]["run_s"] / 1e6)
            lost += result["agent"]["lost"]
    median, mad = context.spread(rates)
    yield {"name": f"lab.{'count' if out == 'none' else out}", "unit": "Mpps", "runs": context.runs,
           "median": round(median, 3), "mad": round(mad, 3), "lost": lost,
           "reference": "10 Gb/s line rate at 64 bytes", "reference_median": LINE_RATE_MPPS}


BENCHES = {
    "lab.count": lambda context: lab(context, "none"),
    "lab.raw": lambda context: lab(context, "raw"),
    "lab.pcapng": lambda context: lab(context, "pcapng"),
}
