#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A host with an SR-IOV NIC and an IOMMU, as a VM without KVM, and what vigia does on it. See README.md."""
import argparse
import importlib
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).parent))
import resident  # noqa: E402
from host import Failed, Host, images  # noqa: E402
from parts import exit_status, run_part, verdict  # noqa: E402

# In the order of their numbers, which start at 1.
PARTS = ["capture", "testpmd", "kernel", "iommu", "probe", "doctor", "virtio"]


def run_on_host(name: str, keep: bool) -> dict:
    """On a host of its own, so that nothing of one part reaches the next."""
    folder = Path(tempfile.mkdtemp(prefix="vigia-host."))

    def body(report) -> None:
        module = importlib.import_module(f"part_{name}")
        print(f"{name}: {module.__doc__}", flush=True)
        host = Host(folder, **getattr(module, "HOST", {}))
        try:
            report("boot_s", host.start())
            module.run(host, report)
        finally:  # an interrupt too
            host.kill()

    try:
        return {"name": name} | run_part(name, body)
    finally:
        if keep:
            print(f"  console, and what ran: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def write_junit(results: list[dict], file: Path) -> None:
    suite = ElementTree.Element("testsuite", name="lab-host", tests=str(len(results)),
                                failures=str(sum(verdict(r) == "FAILED" for r in results)),
                                skipped=str(sum(verdict(r) == "SKIPPED" for r in results)),
                                time=str(sum(r["seconds"] for r in results)))
    for result in results:
        case = ElementTree.SubElement(suite, "testcase", classname="lab-host", name=result["name"],
                                      time=str(result["seconds"]))
        for key in ("failure", "skipped"):
            if key in result:
                ElementTree.SubElement(case, key, message=result[key].splitlines()[-1][:200]).text = result[key]
        ElementTree.SubElement(case, "system-out").text = json.dumps(result["figures"], indent=2)
    ElementTree.ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)


def part_of(word: str) -> str:
    """By name, or by number."""
    if word.isdigit() and 1 <= int(word) <= len(PARTS):
        return PARTS[int(word) - 1]
    if word not in PARTS:
        raise argparse.ArgumentTypeError(f"{word}: expected 1 to {len(PARTS)}, or one of {', '.join(PARTS)}")
    return word


def run_parts(options) -> int:
    results = []
    for name in options.parts or PARTS:
        results.append(run_on_host(name, options.keep))
        if options.json:  # after each part: what has run is kept, whatever becomes of the next
            Path(options.json).write_text(json.dumps({"parts": results}, indent=2) + "\n")
        if options.junit:
            write_junit(results, Path(options.junit))
    print(f"{sum(r['passed'] for r in results)} of {len(results)} parts passed "
          f"in {sum(r['seconds'] for r in results):.0f} s", flush=True)
    return exit_status(results)


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev lab-host", description=__doc__)
    parser.add_argument("parts", nargs="*", type=part_of, metavar="PART", help=f"of {', '.join(PARTS)}, or its number; all")
    parser.add_argument("--json", metavar="FILE", help="write the results as one JSON object")
    parser.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML")
    parser.add_argument("--keep", action="store_true", help="keep the folder of each part: console, scripts, output")
    resident.add_options(parser)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        return resident.run(options) if resident.wanted(options) else run_parts(options)
    except (Failed, images.Missing) as error:
        print(f"lab-host: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
