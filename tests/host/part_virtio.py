# SPDX-License-Identifier: Apache-2.0
"""our virtio-net port on QEMU's device: split and packed rings, through vfio-pci and without an IOMMU; every byte arrives,
also after a kill"""
import itertools
import json
import subprocess
import threading
import time
from pathlib import Path

import steps
from host import Failed, Guest, Host, behind_port, images
from wire import Wire, as_tcpdump_shows

MODERN = "disable-legacy=on,iommu_platform=on"
PLAIN = "mrg_rxbuf=off,event_idx=off"
# By name: what QEMU is told of the NIC, the longest frame for it (where a frame may lie in several buffers, such that do),
# and what device and driver agree on. A used ring of 1024 entries is longer than a page.
NICS = {
    "split": (f"{MODERN},rx_queue_size=1024", 9018, "virtio 1, split ring, mergeable buffers, event index"),
    "split-plain": (f"{MODERN},{PLAIN}", 1518, "virtio 1, split ring"),
    "packed": (f"{MODERN},packed=on", 9018, "virtio 1, packed ring, mergeable buffers, event index"),
    "packed-plain": (f"{MODERN},packed=on,{PLAIN}", 1518, "virtio 1, packed ring"),
}
# Takes physical addresses although it seems to lie behind the IOMMU.
AROUND = {"around": ("disable-legacy=on", 0, "")}
# Without an IOMMU. The second is as hypervisors give it to guests by default: another id, and the legacy interface too.
# (VFIO's no-IOMMU mode is not in this kernel.)
BARE = {
    "uio-packed": ("disable-legacy=on,packed=on", 9018, "virtio 1, packed ring, mergeable buffers, event index"),
    "transitional": ("disable-legacy=off", 9018, "virtio 1, split ring, mergeable buffers, event index"),
}


def as_qemu_takes_them(nics: dict) -> dict[str, str]:
    return {name: nic for name, (nic, _, _) in nics.items()}


HOST = {"nics": as_qemu_takes_them(NICS | AROUND)}
FAST, SLOW, RATE = 3000, 200, 100


def bind(host: Host, name: str, driver: str) -> str:
    host.run(f"vigia host bind {host.nic(name)} {driver}")
    return host.nic(name)


def interrupts(host: Host, function: str) -> int:
    """Of all CPUs, since the function was opened."""
    lines = host.run(f"grep '({function})' /proc/interrupts || :").splitlines()
    return sum(int(word) for line in lines for word in line.split()[1:3])


def frames_arrive(host: Host, report, name: str, device: str, longest: int, api: str) -> None:
    """As fast as the device takes them, then with pauses in which the engine sleeps."""
    wire, file = Wire(host, name), f"{name}.pcap"
    job = steps.capture(host, name, f"--out /lab/{file}", device)
    begin = time.monotonic()
    sent = wire.send_every_kind(FAST, longest)
    report(f"{name}_frames_per_s", FAST / (time.monotonic() - begin))
    sent += wire.send_every_kind(SLOW, longest, RATE)
    report(f"{name}_interrupts", interrupts(host, host.nic(name)))
    stats = finish(host, job, name)
    got = as_tcpdump_shows(host.share / file)
    report(f"{name}_sent", len(sent))
    report(f"{name}_captured", len(got))
    same(name, sent, got)
    if stats["frames"] != len(sent) or stats["lost"] != 0 or (stats["driver"], stats["api"]) != ("virtio-net", api):
        raise Failed(f"{name}: {len(sent)} frames sent, expected {api}, statistics {stats}")


def same(name: str, sent: list[bytes], got: list[bytes]) -> None:
    for number, (one, other) in enumerate(itertools.zip_longest(sent, got, fillvalue=b"")):
        if one != other:
            raise Failed(f"{name}: {len(sent)} frames sent, {len(got)} captured; number {number} of {len(one)} bytes differs: "
                         f"{one[:40].hex(' ')} became {len(other)} bytes {other[:40].hex(' ')}")


def finish(host: Host, job, name: str) -> dict:
    """Ends a capture when nothing is on its way any more."""
    time.sleep(0.5)
    done = job.stop("INT")
    if done.status != 0:
        raise Failed(f"{name}: vigia-capture: status {done.status}: {done.err}")
    stats = steps.statistics(host, name)
    steps.accounts_hold(stats["accounts"])
    return stats


def killed(host: Host, report, name: str, device: str, longest: int) -> None:
    """kill -9 while frames come: the device stops writing, and the next capture has all that comes from then on."""
    wire, sent, stop = Wire(host, name), [], threading.Event()

    def flow() -> None:
        while not stop.is_set():
            sent.extend(wire.send_every_kind(10, longest, 500))

    sender = threading.Thread(target=flow)
    job = steps.capture(host, f"{name}-killed", "", device)
    sender.start()
    try:
        time.sleep(1)
        job.stop("KILL")
        host.wait_for("the end of the killed capture's access to memory", lambda: not steps.bus_master(host, host.nic(name)))
        job = steps.capture(host, f"{name}-again", f"--out /lab/{name}-again.pcap", device)
        time.sleep(1)
    finally:
        stop.set()
        sender.join()
    stats = finish(host, job, f"{name}-again")
    got = as_tcpdump_shows(host.share / f"{name}-again.pcap")
    report(f"{name}_captured_after_kill", len(got))
    if len(got) < 100 or stats["lost"] != 0:
        raise Failed(f"{name}: after a kill {len(got)} frames of {len(sent)} captured, {stats['lost']} lost")
    same(f"{name} after a kill", sent[-len(got):], got)


def behind_the_iommu(host: Host, report) -> None:
    host.run("modprobe vfio_iommu_type1; modprobe vfio-pci")
    for name, (_, longest, api) in NICS.items():
        device = f"vfio:{bind(host, name, 'vfio-pci')}"
        frames_arrive(host, report, name, device, longest, api)
        killed(host, report, name, device, longest)
    refused = host.call(f"vigia-capture run --device vfio:{bind(host, 'around', 'vfio-pci')} --count 1")
    if refused.status != 2 or "iommu_platform=on" not in refused.err:
        raise Failed(f"a device that goes around the IOMMU: status {refused.status}: {refused.err}")
    report("refused_around_the_iommu", 1)
    report("iommu_faults", steps.iommu_faults(host))
    if steps.iommu_faults(host) != 0:
        raise Failed("the IOMMU stopped something")


def without_iommu(host: Host, report) -> None:
    """By uio_pci_generic, which has no interrupts."""
    host.again(iommu=False, nics=as_qemu_takes_them(BARE))
    host.run("echo 64 >/proc/sys/vm/nr_hugepages; modprobe uio_pci_generic")
    for name, (_, longest, api) in BARE.items():
        device = f"uio:{bind(host, name, 'uio_pci_generic')}"
        frames_arrive(host, report, name, device, longest, api)
        killed(host, report, name, device, longest)


class Probe(Guest):
    """Our probe image on a virtio NIC, as `vigia probe up` gives it one: no IOMMU, behind a root port."""

    def __init__(self, folder: Path):
        super().__init__(folder, "probe", "probe", [], 512, arguments="no_timer_check")

    def command(self) -> list[str]:
        config = self.folder / "probe.json"
        config.write_text(json.dumps({"name": "lookout", "capture": {"ring": "16M"}, "hugepages": 32}))
        return super().command() + [
            "-fw_cfg", f"name=opt/org.vigia/config,file={config}",
            "-chardev", f"socket,id=channel,path={self.folder}/channel,server=on,wait=off",
            "-device", "virtserialport,chardev=channel,name=org.vigia.0",
            *behind_port(self.folder, 1, "probe-nic", "virtio-net-pci")]


def in_a_probe(host: Host, report) -> None:
    host.kill()
    probe = Probe(host.folder)
    try:
        report("probe_boot_s", probe.start(300))
        host.wait_for("the probe's capture", lambda: "captures on" in probe.console.read_text(errors="replace"), 60)
        ready = [line for line in probe.console.read_text(errors="replace").splitlines() if "ready, device" in line]
        report("probe_device", ready[-1].split()[4].rstrip(","))
        sent = Wire(host, "probe-nic").send_every_kind(FAST, 9018)
        pulled = host.folder / "pulled.pcapng"
        done = subprocess.run([images.programs() / "vigia", "pull", "--channel", host.folder / "channel", "-o", pulled],
                              capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise Failed(f"vigia pull: status {done.returncode}: {done.stderr}")
        got = as_tcpdump_shows(pulled)
        report("probe_sent", len(sent))
        report("probe_pulled", len(got))
        same("probe", sent, got)
    finally:
        probe.kill()


def run(host: Host, report) -> None:
    behind_the_iommu(host, report)
    without_iommu(host, report)
    in_a_probe(host, report)
