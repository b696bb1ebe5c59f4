#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proofs with VMs that come and go beside tenants, by the commands a user types. See README.md."""
import argparse
import importlib
import json
import pathlib
import signal
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from stage import Failed, Stage  # noqa: E402

PARTS = ["pinning", "taps", "storage", "cycles", "kills"]


def run_part(name, stage):
    module, figures = importlib.import_module(f"part_{name}"), {}
    print(f"{name}: {module.__doc__}", flush=True)

    def report(figure, value):
        figures[figure] = round(value, 2) if isinstance(value, float) else value
        print(f"  {figure}: {figures[figure]}", flush=True)

    begin, result = time.monotonic(), {"passed": False, "figures": figures}
    try:
        module.run(stage, report)
        result["passed"] = True
    except Failed as error:
        result["failure"] = str(error)
    except Exception:  # a fault of the part itself: the others still run
        result["failure"] = traceback.format_exc()
    result["seconds"] = round(time.monotonic() - begin, 1)
    print(f"{name}: {'passed' if result['passed'] else 'FAILED'} in {result['seconds']} s {result.get('failure', '')}",
          flush=True)
    return result


def run_parts(parts, stage):
    """On one host, so that tenants boot once; after a failure the rest would stand on rubble."""
    results = {}
    for name in parts:
        results[name] = run_part(name, stage)
        if not results[name]["passed"]:
            break
    return results


def main():
    parser = argparse.ArgumentParser(prog="dev test-vms", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--json", metavar="FILE", help="write the results as one JSON object")
    parser.add_argument("--out", default="out/vms", help="folder for logs")
    options = parser.parse_args()
    for name in options.parts:
        if name not in PARTS:
            parser.error(f"{name}: expected one of {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stage, results, failure = Stage(options.out), {}, None
    try:
        stage.build()
        results = run_parts(options.parts or PARTS, stage)
    except (Failed, RuntimeError, KeyboardInterrupt) as error:
        failure = str(error) or "interrupted"
    finally:
        try:
            stage.close()
        except Failed as error:
            failure = failure or str(error)
    passed = failure is None and all(result["passed"] for result in results.values())
    if options.json:
        answer = {"passed": passed, "parts": results, "timings": stage.timings, "left_behind": stage.left_behind}
        pathlib.Path(options.json).write_text(json.dumps(answer, indent=2) + "\n")
    if failure:
        print(f"test-vms: {failure}; logs are in {stage.out}", file=sys.stderr)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
