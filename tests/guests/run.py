#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs guests with drivers that nobody here wrote on the software 82599, without KVM. See README.md."""
import argparse
import importlib
import json
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import images  # noqa: E402
from channel import Failed  # noqa: E402

PARTS = ["tenants", "ixgbevf", "dpdk-vf", "dpdk-pf", "ixgbe-pf", "disk"]


def run_part(module, image: str) -> dict:
    figures: dict = {}

    def report(name: str, value) -> None:
        figures[name] = round(value, 2) if isinstance(value, float) else value
        print(f"  {name}: {figures[name]}", flush=True)

    begin = time.monotonic()
    result = {"image": image, "passed": False, "figures": figures}
    try:
        module.run(image, report)
        result["passed"] = True
    except images.Missing as e:
        result["skipped"] = str(e)
    except Failed as e:
        result["failure"] = str(e)
    except Exception:  # a fault of the part itself: the others still run
        result["failure"] = traceback.format_exc()
    result["seconds"] = round(time.monotonic() - begin, 1)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev test-guests", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}, or PART/IMAGE; all")
    parser.add_argument("--json", metavar="FILE", help="write the results as one JSON object")
    options = parser.parse_args()
    results, wrong = {}, False
    for wish in options.parts or PARTS:
        part, _, image = wish.partition("/")
        if part not in PARTS:
            parser.error(f"{part}: expected one of {', '.join(PARTS)}")
        module = importlib.import_module("part_" + part.replace("-", "_"))
        for each in [image] if image else module.IMAGES:
            name = f"{part}/{each}"
            print(f"{name}: {module.__doc__}", flush=True)
            result = results[name] = run_part(module, each)
            verdict = "passed" if result["passed"] else "SKIPPED" if "skipped" in result else "FAILED"
            wrong = wrong or verdict == "FAILED"
            reason = result.get("skipped", result.get("failure", ""))
            print(f"{name}: {verdict} in {result['seconds']} s {reason}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps({"passed": not wrong, "parts": results}, indent=2) + "\n")
    if wrong:
        return 1
    # What ctest calls skipped: nothing has run.
    return 0 if any(r["passed"] for r in results.values()) else 77


if __name__ == "__main__":
    sys.exit(main())
