# SPDX-License-Identifier: Apache-2.0
"""What the plan says of CPUs, node and pages, seen in /proc of the QEMU that runs; time to the first packet"""
import json
import pathlib
import re
import subprocess
import time

from stage import WEB, Failed

PAGES = 256  # of 2 MiB: the agent's 512 MiB


def run(stage, report):
    total = pathlib.Path("/proc/sys/vm/nr_hugepages")
    before = total.read_text().strip()
    try:
        total.write_text(str(int(before) + PAGES))
        got = int(total.read_text()) - int(before)
        report("2 MiB pages reserved", got)
        if stage.free_pages() < PAGES:
            raise Failed(f"the host has only {stage.free_pages()} free hugepages, {PAGES} needed: memory is in pieces")
        look(stage, report)
    finally:
        total.write_text(before)
    stage.expect_nothing_left("after the agent in hugepages")


def look(stage, report):
    free = stage.free_pages()
    ping = subprocess.Popen(["ip", "netns", "exec", stage.ns, "ping", "-q", "-i", "0.05", WEB], stdout=subprocess.DEVNULL)
    try:
        begin = time.monotonic()
        up = json.loads(stage.vigia("agent", "up", stage.agent_spec(pages="2M"), "--json"))
        stage.wait_for("the first captured packet", lambda: stage.mirrored() > 0, 60)
        seconds = time.monotonic() - begin
    finally:
        ping.terminate()
        ping.wait()
    report("seconds from agent up to the first captured packet", seconds)
    report("accelerator", up["accelerator"])
    report("of it guest boot", up["timings"]["waiting for the guest"])
    report("of it libvirt and QEMU", up["timings"]["defining the domain"] + up["timings"]["starting the domain"])
    report("of it VF and mirror", up["timings"]["setting up the VF"] + up["timings"]["mirroring"])
    qemu = stage.qemu_of("spy")
    threads(qemu, up, report)
    memory(qemu, up, report)
    taken = free - stage.free_pages()
    report("free pages that the guest took", taken)
    if taken != up["pages"]:
        raise Failed(f"the plan has {up['pages']} pages, {taken} are taken")
    stage.vigia("agent", "down", "spy")
    if stage.free_pages() != free:
        raise Failed(f"{free} pages were free before, {stage.free_pages()} after")


def cpus(text):
    out = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        out |= set(range(int(first), int(last or first) + 1))
    return sorted(out)


def threads(qemu, up, report):
    """TCG and KVM name a vCPU's thread "CPU n/KVM" or "CPU n/TCG"."""
    vcpus, others = {}, {}
    for task in pathlib.Path(f"/proc/{qemu}/task").iterdir():
        name = (task / "comm").read_text().strip()
        allowed = cpus(re.search(r"Cpus_allowed_list:\s*(\S+)", (task / "status").read_text()).group(1))
        vcpu = re.match(r"CPU (\d+)/", name)
        if vcpu:
            vcpus[int(vcpu.group(1))] = allowed
        else:
            others[f"{name} {task.name}"] = allowed
    report("vCPU threads' Cpus_allowed_list", {n: vcpus[n] for n in sorted(vcpus)})
    report("other threads' Cpus_allowed_list", others)
    planned = {n: [cpu] for n, cpu in enumerate(up["vcpu_cpus"])}
    if vcpus != planned:
        raise Failed(f"vCPUs are planned on {planned}, their threads may run on {vcpus}")
    # "TC tc-ram-node": only touches the guest's pages before it starts; libvirt gives it the whole node of the memory.
    strays = {name: allowed for name, allowed in others.items()
              if allowed != sorted(up["emulator_cpus"]) and not name.startswith("TC tc-ram-node")}
    if strays:
        raise Failed(f"other threads are planned on {up['emulator_cpus']}; not so {strays}")


def memory(qemu, up, report):
    """The guest's RAM in numa_maps: its policy, and pages of the size asked."""
    rows = [row for row in pathlib.Path(f"/proc/{qemu}/numa_maps").read_text().splitlines()
            if "huge" in row.split() and "kernelpagesize_kB=2048" in row]
    pages = sum(int(number) for row in rows for number in re.findall(r"\bN\d+=(\d+)", row))
    policies = sorted({row.split()[1] for row in rows})
    report("numa_maps: huge pages", pages)
    report("numa_maps: policy", policies)
    if pages != up["pages"] or policies != [f"bind:{up['node']}"]:
        raise Failed(f"expected {up['pages']} huge pages with policy bind:{up['node']}:\n" + "\n".join(rows))
