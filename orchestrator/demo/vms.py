#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev demo: two tenant VMs on a software 82599 work with "the Internet" and with each other; a monitoring agent comes
up beside them, sees what one of them receives, and goes again. Everything is done by the commands that a user would
type; this file only types them, checks what came out, and cleans up."""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from picture import ascii_picture, svg_picture  # noqa: E402
from private_libvirt import PrivateLibvirt  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
INTERNET, WEB, DB = "10.7.0.1", "10.7.0.11", "10.7.0.12"
WEB_MAC, DB_MAC = "02:00:00:00:00:11", "02:00:00:00:00:12"
BLOB_BYTES = 2 << 20

TENANT = """vm:
  name: {name}
  kind: tenant
  image: tenant
  vcpus: 1
  memory: 256M
  hugepages: {{size: none}}
  network: {{mode: softnic, pf: {nic}, vf: {vf}, mac: "{mac}"}}
  guest: {{address: {address}/24}}
  uri: "{uri}"
"""
AGENT = """vm:
  name: spy
  kind: vnma
  image: probe
  vcpus: 1
  memory: 512M
  hugepages: {{size: none, guest: 64}}
  network: {{mode: softnic, pf: {nic}, vf: 2}}
  capture: {{ring: 64M}}
  tap: {{tenants: [web], direction: rx}}
  uri: "{uri}"
"""
# What a tenant does until /root/stop appears: each transfer is checked, each result is a line.
LOAD = """while [ ! -e /root/stop ]; do
 curl -s --max-time 30 -o /root/got http://{peer}/{path} && echo "{sum}  /root/got" | sha256sum -cs && echo OK http {peer} || echo FAIL http {peer};
 kdig +short +timeout=5 @{dns} files.internet.example A | grep -qx {dns} && echo OK dns || echo FAIL dns;
 sleep 0.2; done; echo END"""


class Failed(Exception):
    """A step of the demo did not do what it should."""


class Demo:
    def __init__(self, options):
        self.out = pathlib.Path(options.out).resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.seconds = options.seconds
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="vigia-demo."))
        self.nic = self.dir / "nic"
        self.ns = f"vigia{os.getpid()}"
        self.timings, self.children, self.left_behind = {}, [], []
        # A demo must run the same everywhere: KVM only for who asks for it, VIGIA_ACCELERATOR=kvm.
        tcg = os.environ.setdefault("VIGIA_ACCELERATOR", "tcg") == "tcg"
        self.libvirt = PrivateLibvirt(self.dir / "libvirt", ROOT / "build/images/.libvirt-cache", tcg)
        self.env = dict(os.environ, VIGIA_RUN=str(self.dir / "run"), LIBVIRT_DEFAULT_URI=self.libvirt.uri,
                        VIGIA_IMAGES=os.environ.get("VIGIA_IMAGES", str(ROOT / "build/images")))
        self.bin = ROOT / "build/bin"
        self.pages = self.hugepages()

    @staticmethod
    def hugepages():
        return pathlib.Path("/proc/sys/vm/nr_hugepages").read_text().strip()

    # --- small things

    def step(self, name, work, *arguments):
        print(f"demo: {name} ..", file=sys.stderr, flush=True)
        begin = time.monotonic()
        result = work(*arguments)
        self.timings[name] = round(time.monotonic() - begin, 2)
        return result

    def spawn(self, name, words):
        log = open(self.dir / f"{name}.log", "wb")
        child = subprocess.Popen([str(w) for w in words], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                 env=self.env, start_new_session=True)
        self.children.append((name, child))
        return child

    def wait_for(self, what, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"{what}: not within {seconds} s")
            time.sleep(0.05)

    def vigia(self, *words, check=True):
        done = subprocess.run([self.bin / "vigia", *[str(w) for w in words]], env=self.env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if check and done.returncode != 0:
            raise Failed(f"vigia {' '.join(map(str, words))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def in_guest(self, name, line):
        return self.vigia("exec", name, line)

    # --- the parts

    def internet(self):
        """A namespace with a TAP that is the NIC's cable, and real servers in it."""
        www = self.dir / "www"
        www.mkdir()
        blob = os.urandom(BLOB_BYTES)
        (www / "blob").write_bytes(blob)
        self.blob_sum = hashlib.sha256(blob).hexdigest()
        subprocess.run(["ip", "netns", "add", self.ns], check=True)
        inside = ["ip", "netns", "exec", self.ns]
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        self.spawn("softnic", [self.bin / "vigia-softnic", "--dir", self.nic, "--vfs", 4, "--doorbells", "trap",
                               "--wire", f"tap:wire0,netns={self.ns}", "--counters", self.nic / "softnic.counters"])
        self.wait_for("vigia-softnic", lambda: (self.nic / "pf.sock").exists())
        (self.dir / "pf.yaml").write_text("pf:\n  vfs: 4\n")
        self.spawn("vigia-pf", [self.bin / "vigia-pf", "--device", f"vfio-user:{self.nic}/pf.sock", "--config",
                                self.dir / "pf.yaml", "--control", self.nic / "pf.control"])
        self.wait_for("vigia-pf", lambda: (self.nic / "pf.control").exists())
        for words in (["address", "add", f"{INTERNET}/24", "dev", "wire0"], ["link", "set", "wire0", "up"]):
            subprocess.run([*inside, "ip", *words], check=True)
        self.spawn("http", [*inside, sys.executable, "-m", "http.server", "--bind", INTERNET, "--directory", www, "80"])
        self.spawn("dns", [*inside, "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
                           "--pid-file", "--bind-interfaces", f"--listen-address={INTERNET}",
                           f"--address=/files.internet.example/{INTERNET}"])

    def tenants(self):
        specs = []
        for name, vf, mac, address in (("web", 0, WEB_MAC, WEB), ("db", 1, DB_MAC, DB)):
            spec = self.dir / f"{name}.yaml"
            spec.write_text(TENANT.format(name=name, vf=vf, mac=mac, address=address, nic=self.nic, uri=self.libvirt.uri))
            specs.append(spec)
        self.vigia("tenant", "up", *specs)

    def start_load(self):
        """web downloads from the Internet, db from web; both ask for names."""
        path = "data"
        web_sum = self.in_guest("web", f"head -c {BLOB_BYTES} /dev/urandom > /srv/www/{path}; sha256sum < /srv/www/{path}").split()[0]
        for name, peer, what, digest in (("web", INTERNET, "blob", self.blob_sum), ("db", WEB, path, web_sum)):
            script = LOAD.format(peer=peer, path=what, sum=digest, dns=INTERNET).replace("\n", "")
            self.in_guest(name, f"({script}) > /root/load.log 2>&1 &")

    def transfers(self, name):
        lines = self.in_guest(name, "cat /root/load.log").split("\n")
        return {"ok": sum(l.startswith("OK") for l in lines), "failed": [l for l in lines if l.startswith("FAIL")],
                "ended": "END" in lines}

    def wait_for_transfers(self, more):
        goal = {name: self.transfers(name)["ok"] + more for name in ("web", "db")}
        self.wait_for("transfers of both tenants", lambda: all(self.transfers(n)["ok"] >= g for n, g in goal.items()), 120)

    def agent_up(self):
        spec = self.dir / "spy.yaml"
        spec.write_text(AGENT.format(nic=self.nic, uri=self.libvirt.uri))
        self.agent_plan = self.vigia("plan", spec)
        self.agent = json.loads(self.vigia("agent", "up", spec, "--json"))

    def first_packet(self):
        """The first mirrored frame: since the agent's service answers, transfers go on all the time."""
        self.wait_for("the first mirrored frame", lambda: (self.agent_status()["capture"] or {}).get("frames", 0) > 0, 30)

    def agent_status(self):
        return json.loads(self.vigia("agent", "status", "spy", "--json"))[0]["guest"]

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

    def stop_load(self):
        for name in ("web", "db"):
            self.in_guest(name, "touch /root/stop")
        self.wait_for("the end of the transfers", lambda: all(self.transfers(n)["ended"] for n in ("web", "db")), 60)
        self.results = {name: self.transfers(name) for name in ("web", "db")}
        for name, result in self.results.items():
            if result["failed"]:
                raise Failed(f"{name}: {result['failed'][0]} ({len(result['failed'])} of {result['ok']} transfers)")

    def ledger(self):
        """Once nothing moves any more; neighbour discovery may still stir for a moment."""
        for _ in range(10):
            text = self.vigia("ledger", self.nic, "--json", check=False)
            self.account = json.loads(text)
            if self.account["balanced"]:
                return
            time.sleep(1)
        raise Failed("the ledger does not balance:\n" + self.vigia("ledger", self.nic, check=False))

    # --- the end

    def tear_down(self):
        for kind in ("agent", "tenant"):
            self.vigia(kind, "down", "--all", check=False)
        self.libvirt.stop()
        for _, child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for _, child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        subprocess.run(["ip", "netns", "del", self.ns], check=False, stderr=subprocess.DEVNULL)

    def look_for_leftovers(self):
        """Processes that name our folder, our namespace, sockets and files in the run folder, hugepages."""
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.dir) in words:
                self.left_behind.append(f"process {entry.name}: {words[:120]}")
        if (pathlib.Path("/run/netns") / self.ns).exists():
            self.left_behind.append(f"network namespace {self.ns}")
        run = self.dir / "run"
        self.left_behind += [f"file {f}" for f in (run.iterdir() if run.exists() else [])]
        self.left_behind += [f"socket {s}" for s in self.nic.glob("*.sock")] if self.nic.exists() else []
        if self.hugepages() != self.pages:
            self.left_behind.append(f"hugepages: {self.pages} before, {self.hugepages()} now")
        shutil.rmtree(self.dir, ignore_errors=True)

    def keep_logs(self):
        for log in [*self.dir.glob("*.log"), *self.dir.glob("run/*.log"), *self.dir.glob("libvirt/*.log")]:
            shutil.copy(log, self.out)

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
        if json.loads(self.vigia("pf", "show", "--control", self.nic / "pf.control", "--json"))["rules"]:
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
