# SPDX-License-Identifier: Apache-2.0
"""A host with a software NIC, a namespace that plays the Internet, and two tenants that work: what the demo and the tests
of VMs have in common."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from private_libvirt import PrivateLibvirt

ROOT = pathlib.Path(__file__).resolve().parents[2]
INTERNET, WEB, DB = "10.7.0.1", "10.7.0.11", "10.7.0.12"
WEB_MAC, DB_MAC = "02:00:00:00:00:11", "02:00:00:00:00:12"
BLOB_BYTES = 2 << 20
# A scene must run the same everywhere: KVM only for who asks for it, VIGIA_ACCELERATOR=kvm.
TCG = os.environ.setdefault("VIGIA_ACCELERATOR", "tcg") == "tcg"

TENANT = """vm:
  name: {name}
  kind: tenant
  image: tenant
  vcpus: 1
  memory: 256M
  hugepages: {{size: none}}
  network: {{mode: softnic, pf: {nic}, vf: {vf}, mac: "{mac}"{more}}}
  guest: {{address: {address}/24}}
  uri: "{uri}"
"""
AGENT = """vm:
  name: {name}
  kind: {kind}
  image: {image}
  vcpus: 1
  memory: 512M
  hugepages: {{size: {pages}, guest: 64}}
  network: {{mode: softnic, pf: {nic}, vf: {vf}}}
  capture: {{ring: 64M{capture}}}
  {tap}
  uri: "{uri}"
"""
# What a tenant does until /root/stop appears: each transfer is checked, each result is a line.
LOAD = """while [ ! -e /root/stop ]; do
 curl -s --max-time 30 -o /root/got http://{peer}/{path} && echo "{sum}  /root/got" | sha256sum -cs && echo OK http {peer} || echo FAIL http {peer};
 kdig +short +timeout=5 @{dns} files.internet.example A | grep -qx {dns} && echo OK dns || echo FAIL dns;
 sleep 0.2; done; echo END"""


class Failed(Exception):
    """A step did not do what it should."""


class Scene:
    """Made by its parts in order: libvirt.start, internet, tenants, start_load; ended by tear_down."""

    def __init__(self, out, name="demo"):
        self.name = name
        self.out = pathlib.Path(out).resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"vigia-{name}."))
        self.nic = self.dir / "nic"
        self.ns = f"vigia{os.getpid()}"
        self.timings, self.children, self.left_behind = {}, [], []
        self.libvirt = PrivateLibvirt(self.dir / "libvirt", ROOT / "build/images/.libvirt-cache", TCG)
        self.env = dict(os.environ, VIGIA_RUN=str(self.dir / "run"), LIBVIRT_DEFAULT_URI=self.libvirt.uri,
                        VIGIA_IMAGES=os.environ.get("VIGIA_IMAGES", str(ROOT / "build/images")))
        self.bin = pathlib.Path(os.environ.get("VIGIA_BIN", str(ROOT / "build/bin")))
        self.pages = self.hugepages()

    @staticmethod
    def hugepages():
        return pathlib.Path("/proc/sys/vm/nr_hugepages").read_text().strip()

    # --- small things

    def step(self, name, work, *arguments):
        print(f"{self.name}: {name} ..", file=sys.stderr, flush=True)
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

    def log(self, name):
        return (self.dir / f"{name}.log").read_text()

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

    def port(self):
        """What vigia-pf reads from the NIC."""
        return json.loads(self.vigia("pf", "show", "--control", self.nic / "pf.control", "--json"))

    def processes(self, *more):
        """Processes whose command line names this scene's folder, and each of `more`: {pid: command line}."""
        out = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if all(text in words for text in (str(self.dir), *more)):
                out[int(entry.name)] = words
        return out

    def in_guest(self, name, line):
        return self.vigia("exec", name, line)

    def agent_spec(self, name="spy", kind="vnma", vf=2, pages="none", tap="tap: {tenants: [web], direction: rx}",
                   capture="", image="probe"):
        """tap: that key or another of the VM's, as YAML; capture: more of that key."""
        spec = self.dir / f"{name}.yaml"
        spec.write_text(AGENT.format(name=name, kind=kind, vf=vf, pages=pages, tap=tap, capture=capture, image=image,
                                     nic=self.nic, uri=self.libvirt.uri))
        return spec

    def agent_status(self, name="spy", group="agent"):
        return json.loads(self.vigia(group, "status", name, "--json"))[0]["guest"]

    def mirrored(self, name="spy", group="agent"):
        """Frames that it has captured; none before its capture runs."""
        return (self.agent_status(name, group)["capture"] or {}).get("frames", 0)

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
        self.start_nic()
        self.start_manager()
        self.spawn("http", [*inside, sys.executable, "-m", "http.server", "--bind", INTERNET, "--directory", www, "80"])
        self.spawn("dns", [*inside, "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
                           "--pid-file", "--bind-interfaces", f"--listen-address={INTERNET}",
                           f"--address=/files.internet.example/{INTERNET}"])

    def start_nic(self):
        """The cable is a TAP, so it is gone with the NIC."""
        self.spawn("softnic", [self.bin / "vigia-softnic", "--dir", self.nic, "--vfs", 4, "--doorbells", "trap",
                               "--wire", f"tap:wire0,netns={self.ns}", "--counters", self.nic / "softnic.counters"])
        self.wait_for("vigia-softnic", lambda: "wire tap:" in self.log("softnic"))
        for words in (["address", "add", f"{INTERNET}/24", "dev", "wire0"], ["link", "set", "wire0", "up"]):
            subprocess.run(["ip", "-n", self.ns, *words], check=True)

    def start_manager(self):
        (self.dir / "pf.yaml").write_text("pf:\n  vfs: 4\n")
        self.spawn("vigia-pf", [self.bin / "vigia-pf", "--device", f"vfio-user:{self.nic}/pf.sock", "--config",
                                self.dir / "pf.yaml", "--control", self.nic / "pf.control"])
        self.wait_for("vigia-pf", lambda: "ready:" in self.log("vigia-pf"))

    def tenants(self, more=""):
        """more: of their network, as YAML."""
        specs = []
        for name, vf, mac, address in (("web", 0, WEB_MAC, WEB), ("db", 1, DB_MAC, DB)):
            spec = self.dir / f"{name}.yaml"
            spec.write_text(TENANT.format(name=name, vf=vf, mac=mac, address=address, nic=self.nic, uri=self.libvirt.uri,
                                          more=more))
            specs.append(spec)
        self.vigia("tenant", "up", *specs)

    def start_load(self):
        """web downloads from the Internet, db from web; both ask for names."""
        path = "data"
        web_sum = self.in_guest("web", f"head -c {BLOB_BYTES} /dev/urandom > /srv/www/{path}; sha256sum < /srv/www/{path}").split()[0]
        for name, peer, what, digest in (("web", INTERNET, "blob", self.blob_sum), ("db", WEB, path, web_sum)):
            script = "rm -f /root/stop; " + LOAD.format(peer=peer, path=what, sum=digest, dns=INTERNET).replace("\n", "")
            self.in_guest(name, f"({script}) > /root/load.log 2>&1 &")

    def transfers(self, name):
        lines = self.in_guest(name, "cat /root/load.log").split("\n")
        return {"ok": sum(l.startswith("OK") for l in lines), "failed": [l for l in lines if l.startswith("FAIL")],
                "ended": "END" in lines}

    def wait_for_transfers(self, more):
        goal = {name: self.transfers(name)["ok"] + more for name in ("web", "db")}
        self.wait_for("transfers of both tenants", lambda: all(self.transfers(n)["ok"] >= g for n, g in goal.items()), 120)

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
        for kind in ("agent", "probe", "tenant"):
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
        self.left_behind += [f"process {pid}: {words[:120]}" for pid, words in self.processes().items()]
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
