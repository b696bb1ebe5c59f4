# SPDX-License-Identifier: Apache-2.0
"""A part of a lab's tests: its figures are told as they come; how it ended, and after how long, is a dictionary."""
import time
import traceback

import images
from channel import Failed


def run_part(name: str, body) -> dict:
    """body(report) calls report("figure", value); it raises Failed, or images.Missing when it cannot run here."""
    figures: dict = {}

    def report(figure: str, value) -> None:
        figures[figure] = round(value, 2) if isinstance(value, float) else value
        print(f"  {figure}: {figures[figure]}", flush=True)

    begin, result = time.monotonic(), {"passed": False, "figures": figures}
    try:
        body(report)
        result["passed"] = True
    except images.Missing as error:
        result["skipped"] = str(error)
    except Failed as error:
        result["failure"] = str(error)
    except Exception:  # a fault of the part itself: the others still run
        result["failure"] = traceback.format_exc()
    result["seconds"] = round(time.monotonic() - begin, 1)
    reason = result.get("skipped", result.get("failure", ""))
    print(f"{name}: {verdict(result)} in {result['seconds']} s {reason}", flush=True)
    return result


def verdict(result: dict) -> str:
    return "passed" if result["passed"] else "SKIPPED" if "skipped" in result else "FAILED"


def exit_status(results: list[dict]) -> int:
    """77 is what ctest calls skipped: nothing has run."""
    if any(verdict(result) == "FAILED" for result in results):
        return 1
    return 0 if any(result["passed"] for result in results) else 77
