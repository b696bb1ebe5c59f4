# SPDX-License-Identifier: Apache-2.0
"""The demo's host with tools of the tests: what an agent may leave behind, who runs, who is killed."""
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "orchestrator/demo"))
from scene import INTERNET, WEB, Failed, Scene  # noqa: E402


class Stage(Scene):
    """Ready with two tenants. What is seen then is what must be seen after each agent."""

    def __init__(self, out):
        super().__init__(out, "vms")

    def build(self):
        self.step("libvirt", self.libvirt.start)
        self.step("the Internet and the NIC", self.internet)
        self.step("tenants up", self.tenants)
        self.before = self.state()

    def close(self):
        self.step("tear-down", self.tear_down)
        self.keep_logs()
        self.look_for_leftovers()
        if self.left_behind:
            raise Failed(f"left behind at the end: {self.left_behind}")

    # --- what is there

    def qemu_of(self, name):
        found = self.processes(f"guest={name},")
        if len(found) != 1:
            raise Failed(f"{len(found)} QEMUs of {name}, expected one")
        return next(iter(found))

    def child(self, name):
        """The latest of that name."""
        return [child for known, child in self.children if known == name][-1]

    def domains(self):
        done = subprocess.run(["virsh", "-c", self.libvirt.uri, "list", "--all", "--name"], text=True, check=True,
                              stdout=subprocess.PIPE)
        return sorted(done.stdout.split())

    @staticmethod
    def free_pages():
        return int(re.search(r"HugePages_Free:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1))

    def state(self):
        run = self.dir / "run"
        return {"rules": self.port()["rules"], "domains": self.domains(),
                "files": sorted(f.name for f in run.iterdir()) if run.exists() else [],
                "hugepages": self.hugepages(),
                # A guest by its name: the rest of the line has numbers that each start chooses anew.
                "processes": sorted((re.search(r"guest=[^,]+", words) or [words])[0] for words in self.processes().values()
                                    if "guest=" in words or "bin/vigia" in words or " expire " in words)}

    def expect_nothing_left(self, when):
        """A moment is given to processes that end."""
        for _ in range(20):
            now = self.state()
            if now == self.before:
                return
            time.sleep(0.2)
        wrong = [f"{key}: {self.before[key]} before, {now[key]} now" for key in now if now[key] != self.before[key]]
        raise Failed(f"{when}: left behind: " + "; ".join(wrong))

    def damages(self):
        words = ["ls", "--control", self.nic / "pf.control", "--json"]
        return json.loads(self.vigia(*words))["damages"]

    def repair(self, check=True):
        words = ["repair", "--control", self.nic / "pf.control", "--json"]
        return json.loads(self.vigia(*words, check=check))

    def expect_tenants_work(self, when, seconds=60):
        """How long it takes until both have reached their peer; their driver may have a reset of the port to digest."""
        begin = time.monotonic()
        for name, peer in (("web", INTERNET), ("db", WEB)):
            while True:
                try:
                    self.in_guest(name, f"ping -c 2 -W 5 {peer}")
                    break
                except Failed as error:
                    if time.monotonic() - begin > seconds:
                        raise Failed(f"{when}: {name} does not reach {peer} within {seconds} s: {error}") from error
        return round(time.monotonic() - begin, 1)

    # --- what is done

    def run_vigia(self, *words):
        """In the background, its steps on stderr."""
        return subprocess.Popen([self.bin / "vigia", *[str(w) for w in words]], env=self.env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    @staticmethod
    def until_step(process, step):
        """What it printed until it says that step; it goes on meanwhile."""
        said = ""
        while line := process.stderr.readline():
            said += line
            if line.rstrip().endswith(": " + step):
                return said
        raise Failed(f"vigia ended before '{step}':\n{said}{process.stdout.read()}")

    @staticmethod
    def kill(process):
        process.send_signal(signal.SIGKILL)
        process.wait()
