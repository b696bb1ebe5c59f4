#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs guests with drivers that nobody here wrote on the software 82599, without KVM. See README.md."""
import argparse
import importlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from parts import exit_status, run_part  # noqa: E402

PARTS = ["tenants", "ixgbevf", "dpdk-vf", "dpdk-pf", "ixgbe-pf", "disk"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev test-guests", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}, or PART/IMAGE; all")
    parser.add_argument("--json", metavar="FILE", help="write the results as one JSON object")
    options = parser.parse_args()
    results = {}
    for wish in options.parts or PARTS:
        part, _, image = wish.partition("/")
        if part not in PARTS:
            parser.error(f"{part}: expected one of {', '.join(PARTS)}")
        module = importlib.import_module("part_" + part.replace("-", "_"))
        for each in [image] if image else module.IMAGES:
            name = f"{part}/{each}"
            print(f"{name}: {module.__doc__}", flush=True)
            results[name] = {"image": each} | run_part(name, lambda report: module.run(each, report))
    status = exit_status([*results.values()])
    if options.json:
        Path(options.json).write_text(json.dumps({"passed": status != 1, "parts": results}, indent=2) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
