# SPDX-License-Identifier: Apache-2.0
"""The kernel as VF generator: copies by pool bits, over-scope refused, drift set right, kill and repair."""
import json
import threading
import time

from host import PF, Failed
from wire import Wire

MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"]
NAMES = ["web", "other", "agent"]
NOBODY = "02:00:00:00:00:77"
DOWNS = 20

CONFIG = """pf:
  generator: kernel
  host_drivers: true
  vfs: 3
  vf:
    - {index: 0, mac: "02:00:00:00:00:01", name: web, spoof_check: false}
    - {index: 1, mac: "02:00:00:00:00:02", name: other}
    - {index: 2, mac: "02:00:00:00:00:03", name: agent, trust: true}
"""
RX = "  taps: [{name: t, from: [0], to: 2, direction: rx}]\n"
TX = "  taps: [{name: t, from: [0], to: 2, direction: tx}]\n"
PORT = "  taps: [{name: t, port: true, to: 2}]\n"
PORT_ALLOWED = "  taps: [{name: t, port: true, to: 2, allow_port_scope: true}]\n"

# Collects the numbers of our frames that an interface receives, until SIGTERM; prints them. Survives the interface's downs.
COUNT = """import json, signal, socket, struct, sys
name, out = sys.argv[1:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5))
s.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
s.bind((name, 0x88b5))
s.setsockopt(263, 1, struct.pack("iHH8s", socket.if_nametoindex(name), 1, 0, b""))  # promiscuous
seen, go = [], True
def stop(*_):
    global go
    go = False
signal.signal(signal.SIGTERM, stop)
s.settimeout(0.1)
print("ready", flush=True)
while go:
    try:
        frame, where = s.recvfrom(2048)
    except OSError:
        continue
    if where[2] != socket.PACKET_OUTGOING:
        seen.append(struct.unpack(">I", frame[14:18])[0])
open(out, "w").write(json.dumps(seen))
"""
SEND = """import socket, struct, sys, time
name, to, source, first, count = sys.argv[1], *[bytes.fromhex(a.replace(":", "")) for a in sys.argv[2:4]], int(sys.argv[4]), int(sys.argv[5])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((name, 0))
for i in range(count):
    s.send(to + source + struct.pack(">HI", 0x88b5, first + i) + bytes(46))
    time.sleep(0.002)
"""


class Lab:
    def __init__(self, host):
        self.host = host
        self.wire = Wire(host)
        for name, text in (("count.py", COUNT), ("send.py", SEND), ("rx.yaml", CONFIG + RX), ("tx.yaml", CONFIG + TX),
                           ("port.yaml", CONFIG + PORT), ("port-allowed.yaml", CONFIG + PORT_ALLOWED), ("none.yaml", CONFIG)):
            (host.share / name).write_text(text)

    def start_manager(self, config: str) -> None:
        self.host.run("rm -f /run/pf.ready")
        self.manager = self.host.spawn(f"exec vigia-pf --device pci:{PF} --config /lab/{config} --control /run/pf.control"
                                       " --journal /run/pf.journal --ready-file /run/pf.ready")
        self.host.wait_for(f"vigia-pf with {config}", "[ -e /run/pf.ready ]", 40)

    def status(self) -> dict:
        return json.loads(self.host.run("vigia pf status --control /run/pf.control --json"))

    def namespaces(self) -> None:
        for index, name in enumerate(NAMES):
            self.host.run(f"ip netns add {name}; ip link set $(ls /sys/bus/pci/devices/{PF}/virtfn{index}/net) netns {name} name v0;"
                          f"ip netns exec {name} sysctl -qw net.ipv6.conf.v0.disable_ipv6=1; ip -n {name} link set v0 up")
        for name in NAMES:
            self.host.wait_for(f"link of {name}", f"ip -n {name} link show v0 | grep -q LOWER_UP")

    def listen(self) -> None:
        self.jobs = {name: self.host.spawn(f"ip netns exec {name} python3 /lab/count.py v0 /lab/{name}.seen") for name in NAMES}
        for name, job in self.jobs.items():
            self.host.wait_for(f"counter of {name}", lambda job=job: "ready" in job.read("out"))

    def heard(self) -> dict[str, list[int]]:
        time.sleep(0.5)
        self.host.run("pkill -TERM -f '^python3 /lab/count.py'; while pgrep -f '^python3 /lab/count.py' >/dev/null; do sleep 0.1; done")
        return {name: json.loads((self.host.share / f"{name}.seen").read_text()) for name in NAMES}


def expect(what: str, found, wanted) -> None:
    if found != wanted:
        raise Failed(f"{what}: {found}, expected {wanted}")


def copies(lab: Lab, report) -> None:
    lab.listen()
    to_web, to_other = lab.wire.send(MACS[0], 1000), lab.wire.send(MACS[1], 500)
    everyone = lab.wire.send("ff:ff:ff:ff:ff:ff", 100)
    inside = range(1_000_000, 1_000_500)
    lab.host.run(f"ip netns exec other python3 /lab/send.py v0 {MACS[0]} {MACS[1]} {inside.start} {len(inside)}")
    heard = lab.heard()
    report("sent_to_tenant", len(to_web) + len(inside))
    report("copied_to_agent", sum(n in to_web or n in inside for n in heard["agent"]))
    expect("the tenant's frames", sorted(heard["web"]), [*to_web, *everyone, *inside])
    expect("the agent's frames", sorted(heard["agent"]), [*to_web, *everyone, *inside])
    expect("the other tenant's frames", sorted(heard["other"]), [*to_other, *everyone])


def over_scope(lab: Lab, report) -> None:
    for config, words in (("tx", "its filters copy only what is received; set direction: rx"),
                          ("port", "set allow_port_scope: true to accept that")):
        done = lab.host.call(f"vigia pf apply --config /lab/{config}.yaml --control /run/pf.control")
        if done.status != 2 or words not in done.err:
            raise Failed(f"a tap of {config}: status {done.status}: {done.err}")
    report("refused_over_scope", 2)


def down_and_up(lab: Lab, times: int) -> tuple[list[range], dict[str, list[int]]]:
    """The tenant's interface, while frames to it never pause. Returns the numbers sent in each turn, and who heard what."""
    lab.listen()
    stop, turns = threading.Event(), []

    def flow():
        while not stop.is_set():
            lab.wire.send(MACS[0], 10)

    sender = threading.Thread(target=flow)
    sender.start()
    try:
        for _ in range(times):
            first = lab.wire.number
            lab.host.run("ip -n web link set v0 down; sleep 0.1; ip -n web link set v0 up; sleep 0.7")
            turns.append(range(first, lab.wire.number))
    finally:
        stop.set()
        sender.join()
    return turns, lab.heard()


def drift(lab: Lab, report) -> None:
    before = lab.status()["drifts"]
    turns, heard = down_and_up(lab, DOWNS)
    web, agent = set(heard["web"]), set(heard["agent"])
    missed, gaps = [], []
    for turn in turns:
        lost = [n for n in turn if n in web and n not in agent]
        missed.append(len(lost))
        gaps.append((lost[-1] - lost[0] + 1) / Wire.RATE if lost else 0)
        again = [n for n in turn if n in web][-50:]
        if len(again) < 50 or not agent.issuperset(again):
            raise Failed(f"after the tenant's reset its frames are not copied: {len(lost)} of {len(turn)} missed")
    report("resets", DOWNS)
    report("copies_established_again", DOWNS)
    report("drifts_counted", lab.status()["drifts"] - before)
    report("tenants_frames_meanwhile", len(web))
    report("frames_missed_in_all", sum(missed))
    report("frames_missed_at_most", max(missed))
    report("longest_gap_s", round(max(gaps), 3))
    # That it is the manager who does it: without it the copy stays away.
    lab.host.run("pkill -STOP -f '[v]igia-pf --device'")
    turns, heard = down_and_up(lab, 1)
    lab.host.run("pkill -CONT -f '[v]igia-pf --device'; sleep 1")
    lost = [n for n in heard["web"] if n in turns[0] and n not in heard["agent"]]
    report("frames_missed_without_manager", len(lost))
    if len(lost) < 100:
        raise Failed(f"with a halted manager only {len(lost)} frames were missed: who copies?")


def administrator(lab: Lab, report) -> None:
    lab.host.run("ip link set eth0 vf 1 mac 02:00:00:00:00:55")
    lab.host.wait_for("a word about the administrator's change", lambda: lab.status()["overruled"] == 1, 5)
    time.sleep(2)
    if "02:00:00:00:00:55" not in lab.host.run("ip link show eth0"):
        raise Failed("the administrator's change was fought")
    report("left_to_administrator", lab.status()["overruled"])
    lab.host.run("vigia pf apply --config /lab/rx.yaml --control /run/pf.control")
    if MACS[1] not in lab.host.run("ip link show eth0"):
        raise Failed("apply did not set the MAC again")


def whole_port(lab: Lab, report) -> None:
    lab.host.run("vigia pf apply --config /lab/port-allowed.yaml --control /run/pf.control")
    lab.listen()
    strangers, to_web = lab.wire.send(NOBODY, 200), lab.wire.send(MACS[0], 200)
    heard = lab.heard()
    expect("the agent's frames of the whole port", sorted(heard["agent"]), [*strangers, *to_web])
    expect("what tenants saw of strangers", [n for n in heard["web"] + heard["other"] if n in strangers], [])
    report("whole_port_copied", len(heard["agent"]))
    lab.host.run("vigia pf apply --config /lab/rx.yaml --control /run/pf.control")


def killed(lab: Lab, report) -> None:
    lab.host.run("pkill -KILL -f '[v]igia-pf --device'; sleep 0.5")
    lab.listen()
    left = lab.wire.send(MACS[0], 50)
    expect("copies that a killed manager leaves", [n for n in lab.heard()["agent"] if n in left], [*left])
    told = lab.host.run(f"vigia pf repair --device pci:{PF} --journal /run/pf.journal")
    if "hold nothing of ours any more" not in told:
        raise Failed(f"vigia pf repair said: {told}")
    lab.listen()
    to_web = lab.wire.send(MACS[0], 200)
    heard = lab.heard()
    expect("the tenant's frames after the repair", heard["web"], [*to_web])
    expect("the agent's frames after the repair", heard["agent"], [])
    report("copied_after_repair", len(heard["agent"]))


def reserved_registers(host, report) -> None:
    """A kernel that keeps registers to its drivers: VFs can be made, copies are refused with the remedy."""
    host.again(cmdline="intel_iommu=on iommu=pt")
    (host.share / "rx.yaml").write_text(CONFIG + RX)
    done = host.call(f"modprobe igb; vigia-pf --device pci:{PF} --config /lab/rx.yaml")
    if done.status != 2 or "boot with iomem=relaxed" not in done.err:
        raise Failed(f"without iomem=relaxed: status {done.status}: {done.err}")
    expect("VFs that a refused wish makes", host.run(f"cat /sys/bus/pci/devices/{PF}/sriov_numvfs").strip(), "0")
    report("refused_without_iomem_relaxed", 1)


def run(host, report):
    host.run("modprobe igb; modprobe igbvf")
    lab = Lab(host)
    begin = time.monotonic()
    lab.start_manager("rx.yaml")
    report("vfs_made_s", round(time.monotonic() - begin, 1))
    lab.namespaces()
    time.sleep(1)
    copies(lab, report)
    over_scope(lab, report)
    drift(lab, report)
    administrator(lab, report)
    whole_port(lab, report)
    killed(lab, report)
    reserved_registers(host, report)
