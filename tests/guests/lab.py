# SPDX-License-Identifier: Apache-2.0
"""A software 82599 whose cable ends in a network namespace, its manager, and the guests on it."""
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import counters
import images
from channel import Failed
from guest import Guest

NET = "10.9.0"
PF_MAC = "02:00:00:82:59:90"  # of the EEPROM
OUTSIDE = f"{NET}.1"  # the namespace's address


def address(vf: int) -> str:
    return f"{NET}.{11 + vf}"


def mac(vf: int) -> str:
    return f"02:00:00:00:00:{vf + 1:02x}"


class Lab:
    """vfs: VFs, of which number v has mac(v). manager: run vigia-pf; without, the PF function is a guest's."""

    def __init__(self, vfs: int = 2, mtu: int = 1500, vlans: tuple[int, ...] = (), manager: bool = True,
                 doorbells: str = "trap"):
        self.folder = Path(tempfile.mkdtemp(prefix="vg."))
        self.netns, self.mtu = "vg" + str(os.getpid()), mtu
        self.vfs, self.vlans, self.doorbells, self.manager = vfs, vlans, doorbells, manager
        self.processes, self.guests = [], []

    def __enter__(self) -> "Lab":
        if os.geteuid() != 0 or not shutil.which("ip"):
            raise images.Missing("guests need root and iproute2: their cable ends in a network namespace")
        try:
            self.outside("", host=f"netns add {self.netns}")
            # IPv6 speaks unasked, and parts count frames.
            self.host(["ip", "netns", "exec", self.netns, "sh", "-c",
                       "for c in all default; do echo 1 >/proc/sys/net/ipv6/conf/$c/disable_ipv6; done"])
            self.start("vigia-softnic", "--dir", self.folder, "--vfs", self.vfs, "--wire",
                       f"tap:wire,netns={self.netns}", "--doorbells", self.doorbells, "--counters",
                       self.folder / "counters", "--stats-json", self.folder / "stats.json")
            self.wait("softnic listens", lambda: (self.folder / "pf.sock").exists())
            self.outside(f"link set wire mtu {self.mtu} up")
            self.outside(f"addr add {OUTSIDE}/24 dev wire")
            self.outside("link set lo up")
            if self.manager:
                self.start_manager()
            return self
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *_) -> None:
        for guest in self.guests:
            guest.kill()
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        subprocess.run(["ip", "netns", "del", self.netns], stderr=subprocess.DEVNULL, check=False)
        if "VIGIA_KEEP" not in os.environ:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, program: str, *words) -> subprocess.Popen:
        path = images.programs() / program
        if not path.exists():
            raise images.Missing(f"no {path}; ./dev build")
        log = open(self.folder / f"{program}.log", "ab")
        self.processes.append(subprocess.Popen([str(path), *map(str, words)], stdin=subprocess.DEVNULL, stdout=log,
                                               stderr=log))
        return self.processes[-1]

    def start_manager(self) -> None:
        rows = "".join(f"    - {{index: {v}, mac: \"{mac(v)}\"" + (f", vlan: {vlan}" if vlan else "") + "}\n"
                       for v in range(self.vfs) for vlan in [self.vlans[v] if v < len(self.vlans) else 0])
        config, ready = self.folder / "pf.yaml", self.folder / "pf.ready"
        config.write_text(f"pf:\n  vfs: {self.vfs}\n  mtu: {self.mtu}\n  vf:\n{rows}")
        self.start("vigia-pf", "--device", f"vfio-user:{self.folder}/pf.sock", "--config", config, "--control",
                   self.folder / "pf.control", "--journal", self.folder / "journal", "--ready-file", ready)
        self.wait("vigia-pf is ready", ready.exists)

    def outside(self, words: str, host: str = "") -> str:
        """An ip command, in the namespace or (host) beside it."""
        return self.host(["ip", *host.split()] if host else ["ip", "-n", self.netns, *words.split()])

    def host(self, words: list[str], seconds: float = 30) -> str:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(words)}: status {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def inside(self, words: str, seconds: float = 30) -> str:
        """A command in the namespace."""
        return self.host(["ip", "netns", "exec", self.netns, *words.split()], seconds)

    def spawn(self, words: str) -> subprocess.Popen:
        log = open(self.folder / "outside.log", "ab")
        process = subprocess.Popen(["ip", "netns", "exec", self.netns, *words.split()], stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def wait(self, what: str, ready, seconds: float = 20) -> float:
        begin = time.monotonic()
        while not ready():
            if time.monotonic() - begin > seconds:
                raise Failed(f"{what}: not seen within {seconds} s; logs in {self.folder}")
            for process in self.processes:
                if process.poll() not in (None, 0):
                    raise Failed(f"{process.args[0]} ended with {process.returncode}: {self.log(process.args[0])}")
            time.sleep(0.05)
        return time.monotonic() - begin

    def log(self, program: str) -> str:
        path = self.folder / f"{Path(program).name}.log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def guest(self, name: str, image: str, functions: list[str], **options) -> Guest:
        guest = Guest(self.folder, name, image, [self.folder / f"{f}.sock" for f in functions], **options)
        self.guests.append(guest)
        return guest

    def counters(self) -> dict[str, int]:
        return counters.read(self.folder / "counters")

    def balanced(self) -> None:
        """The ledger balances; looks again while frames still move."""
        wrong = ["?"]
        for _ in range(20):
            wrong = counters.imbalance(self.counters())
            if not wrong:
                break
            time.sleep(0.1)
        for process in self.processes[:1]:
            if process.poll() is not None:
                wrong.append(f"vigia-softnic has ended with {process.returncode}: {self.log('vigia-softnic')}")
        if wrong:
            raise Failed("the ledger does not balance: " + "; ".join(wrong))


def ping(where, to: str, count: int = 3, options: str = "", tries: int = 10) -> dict[str, float]:
    """where: a function that runs a command. Pings until one arrives, then count times without loss."""
    for attempt in range(tries):
        try:
            where(f"ping -c 1 -W 1 {options} {to}", 10)
            break
        except Failed:
            if attempt == tries - 1:
                raise
    text = where(f"ping -c {count} -i 0.2 -W 2 {options} {to}", 10 + 3 * count)
    lost = re.search(r"(\d+)% packet loss", text)
    times = re.search(r"= [\d.]+/([\d.]+)/", text)
    if not lost or int(lost[1]) != 0:
        raise Failed(f"ping {to}: {text}")
    return {"sent": count, "average_ms": float(times[1]) if times else -1.0}
