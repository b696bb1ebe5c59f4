# SPDX-License-Identifier: Apache-2.0
"""DPDK's testpmd on the same VF: the same frames counted, and the receive rates side by side"""
import json
import re
import time

import steps
from host import Failed, Host, vf

COUNT = 200
SECONDS, SIZE, ROUNDS = 3, 64, 2


class Testpmd:
    """rxonly on VF 0. It prints statistics every second."""

    def __init__(self, host: Host, commands: str = ""):
        self.host = host
        (host.share / "testpmd.commands").write_text(commands)
        self.job = host.spawn(
            f"exec dpdk-testpmd --lcores 0@0,1@0 --in-memory --no-telemetry -a {vf(0)} -m 128 -- --auto-start --stats-period=1 "
            "--total-num-mbufs=8192 --rxd=2048 --forward-mode=rxonly --enable-hw-vlan-filter "
            "--cmdline-file=/lab/testpmd.commands </dev/null")
        host.wait_for("testpmd", lambda: self.job.ended() or "RX-packets" in self.job.read("out"), 60)
        if self.job.ended():
            raise Failed(f"testpmd: {self.job.read('out')[-1500:]}{self.job.read('err')[-800:]}")

    def received(self) -> int:
        found = re.findall(r"RX-packets: *(\d+)", self.job.read("out"))
        return int(found[-1]) if found else 0

    def settled(self) -> int:
        """Once the number has been the same for three seconds."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < 3:
            now = self.received()
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.3)
        return last

    def stop(self) -> None:
        self.job.stop("INT")


def flood(host: Host) -> int:
    """Frames of one size for SECONDS, as fast as our own driver sends them on VF 2, on the other CPU; how many it sent."""
    sender = host.spawn(f"exec taskset 2 vigia-capture tenant --device vfio:{vf(2)} --stats-json /lab/flood.json "
                        f"--send gen:count=1000000,size={SIZE},dst={steps.mac(0)} --send-start-file /tmp/go "
                        "--ready-file /tmp/flood.ready")
    host.wait_for("the sender", "[ -e /tmp/flood.ready ]")
    host.run(f"touch /tmp/go; sleep {SECONDS}; kill -INT -$(cat {sender.inside}.pid); rm /tmp/go /tmp/flood.ready")
    sender.wait()
    return json.loads((host.share / "flood.json").read_text())["sent"]


def rates(host: Host, report) -> None:
    """In turn, so that what else this machine does hits both alike."""
    seen: dict[str, list] = {"vigia": [], "testpmd": []}
    for turn in range(ROUNDS):
        job = steps.capture(host, f"rate{turn}", "--poll --cpus 0 --queue-size 2048")
        sent = flood(host)
        job.stop("INT")
        seen["vigia"].append((sent, steps.statistics(host, f"rate{turn}")["frames"]))
        pmd = Testpmd(host)
        before = pmd.settled()
        sent = flood(host)
        seen["testpmd"].append((sent, pmd.settled() - before))
        pmd.stop()
    for who, rounds in seen.items():
        report(f"{who}_sent_kpps", [round(sent / SECONDS / 1000, 1) for sent, _ in rounds])
        report(f"{who}_received_kpps", [round(got / SECONDS / 1000, 1) for _, got in rounds])
    if not all(got for rounds in seen.values() for _, got in rounds):
        raise Failed("one of them received nothing")


def run(host: Host, report) -> None:
    steps.make_vfs(host)
    steps.bind(host, 0)
    steps.bind(host, 2)
    host.run("echo 192 >/proc/sys/vm/nr_hugepages; mkdir -p /dev/hugepages; mount -t hugetlbfs none /dev/hugepages || :")
    tenant = steps.Tenant(host, 1)

    # Promiscuous, as it begins, the PF would give it all multicast, which QEMU's 82576 does not have; by name it works.
    pmd = Testpmd(host, f"set promisc all off\nset allmulti all off\nmcast_addr add 0 {steps.GROUP}\nrx_vlan add {steps.VLAN} 0\n")
    before = pmd.settled()
    sent = steps.send_every_kind([tenant], steps.mac(0), COUNT)
    theirs = pmd.settled() - before
    pmd.stop()

    job = steps.capture(host, "same", f"--vlan {steps.VLAN} --multicast {steps.GROUP} --out /lab/same.pcap")
    steps.send_every_kind([tenant], steps.mac(0), COUNT)
    job.stop("INT")
    ours = steps.counted(host, "/lab/same.pcap")
    report("sent", sum(sent.values()))
    report("testpmd_received", theirs)
    report("vigia_captured", sum(k["frames"] for k in ours["kinds"].values()))
    steps.must_equal(sent, ours, "vigia-capture")
    if theirs != sum(sent.values()):
        raise Failed(f"testpmd received {theirs} of {sum(sent.values())}")
    rates(host, report)
    report("iommu_faults", steps.iommu_faults(host))
    if steps.iommu_faults(host) != 0:
        raise Failed("the IOMMU stopped something")
