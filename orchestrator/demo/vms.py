#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev demo: two tenant VMs on a software 82599 work with "the Internet" and with each other; a monitoring agent comes
up beside them, sees what one of them receives, and goes again. Everything is done by the commands that a user would
type; this file only types them, checks what came out, and cleans up."""
import argparse
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from picture import ascii_picture, svg_picture  # noqa: E402
from scene import DB, WEB, WEB_MAC, Failed, Scene  # noqa: E402


class Demo(Scene):
    def __init__(self, options):
        super().__init__(options.out)
        self.seconds = options.seconds

    def agent_up(self):
        spec = self.agent_spec()
        self.agent_plan = self.vigia("plan", spec)
        self.agent = json.loads(self.vigia("agent", "up", spec, "--json"))

    def first_packet(self):
        """The first mirrored frame: since the agent's service answers, transfers go on all the time."""
        self.wait_for("the first mirrored frame", lambda: self.mirrored() > 0, 30)

    def pull(self):
        file = self.out / "web-10s.pcapng"
        self.pulled = json.loads(self.vigia("pull", "spy", "--last", "10s", "-o", file, "--json"))
        rows = subprocess.run(["tshark", "-n", "-r", file, "-T", "fields", "-e", "eth.dst", "-e", "_ws.col.Protocol"],
                              text=True, capture_output=True, check=True).stdout.splitlines()
        self.protocols = {}
        for row in rows:
            destination, protocol = (row.split("\t") + [""])[:2]
            self.protocols[protocol] = self.protocols.get(protocol, 0) + 1
            if destination != WEB_MAC and int(destination[:2], 16) % 2 == 0:
                raise Failed(f"the agent's file holds a frame for {destination}; only those that web receives belong there")
        if len(rows) != self.pulled["frames"] or not rows:
            raise Failed(f"tshark sees {len(rows)} frames, the guest says {self.pulled['frames']}")
        return file

    def run(self):
        self.step("libvirt", self.libvirt.start)
        self.step("the Internet and the NIC", self.internet)
        self.step("tenants up", self.tenants)
        self.step("tenants start to work", self.start_load)
        self.step("transfers before the agent", self.wait_for_transfers, 3)
        self.step("agent up", self.agent_up)
        self.step("first mirrored frame", self.first_packet)
        self.step("transfers beside the agent", lambda: (self.wait_for_transfers(3), time.sleep(self.seconds)))
        file = self.step("pull the last 10 s", self.pull)
        self.step("transfers end", self.stop_load)
        self.step("ledger", self.ledger)
        self.final = self.agent_status()
        self.step("agent down", self.vigia, "agent", "down", "spy")
        if self.port()["rules"]:
            raise Failed("a mirror rule is left in the NIC")
        return file

    def report(self, file):
        accounts = self.account["accounts"]
        frames = lambda vf: accounts.get(f"vf{vf}.written", 0)  # noqa: E731
        return {"tenants": [{"name": name, "vf": vf, "frames": frames(vf), "transfers": self.results[name]["ok"], "failed": 0}
                            for name, vf in (("web", 0), ("db", 1))],
                "agent": {"name": "spy", "vf": 2, "frames": self.final["capture"]["frames"],
                          "lost": self.final["capture"]["lost"], "file": str(file), "pulled": self.pulled["frames"],
                          "protocols": self.protocols, "up_s": self.agent["total_s"], "up_steps": self.agent["timings"],
                          "accelerator": self.agent["accelerator"], "scopes": self.agent["scopes"]},
                "ledger": {"balanced": self.account["balanced"], "accounts": accounts},
                "timings": self.timings, "left_behind": self.left_behind}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write what was measured as one JSON object")
    parser.add_argument("--out", default="out/demo", help="folder for the agent's file, the picture and logs")
    parser.add_argument("--seconds", type=float, default=5, help="how long tenants work on beside the agent")
    return parser.parse_args()


def main():
    options = parse_arguments()
    demo = Demo(options)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    names = {"ns": demo.ns, "web_ip": WEB, "db_ip": DB}
    print(ascii_picture(**names))
    (demo.out / "picture.svg").write_text(svg_picture(**names))
    failure, file = None, None
    try:
        file = demo.run()
    except (Failed, RuntimeError, subprocess.CalledProcessError, KeyboardInterrupt) as error:
        failure = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    finally:
        demo.step("tear-down", demo.tear_down)
        demo.keep_logs()
        demo.look_for_leftovers()
    if failure:
        print(f"demo: {failure}\ndemo: logs are in {demo.out}", file=sys.stderr)
        return 1
    report = demo.report(file)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, indent=2) + "\n")
    print_report(demo, report)
    return 1 if demo.left_behind or report["agent"]["lost"] else 0


def print_report(demo, report):
    print(re.sub(r"(?m)^", "  ", demo.agent_plan.rstrip()) + "\n")
    for tenant in report["tenants"]:
        print(f"  {tenant['name']:<5} {tenant['frames']:>9,} frames received, {tenant['transfers']} transfers, all checksums right")
    agent = report["agent"]
    print(f"  {agent['name']:<5} {agent['frames']:>9,} frames mirrored to it, {agent['lost']} lost; up in {agent['up_s']:.1f} s "
          f"({agent['accelerator']}), {agent['pulled']:,} frames pulled: "
          + ", ".join(f"{n} {p}" for p, n in sorted(agent["protocols"].items(), key=lambda x: -x[1])))
    print("  ledger: " + ("balances" if report["ledger"]["balanced"] else "does NOT balance"))
    print("  " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report["timings"].items()))
    print("  left behind: " + (", ".join(report["left_behind"]) or "nothing"))
    print(f"\nagent: {agent['file']}\nEverything else is in {demo.out}")


if __name__ == "__main__":
    sys.exit(main())
