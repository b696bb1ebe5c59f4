# SPDX-License-Identifier: Apache-2.0
"""kernel PF with 4 VFs, our igbvf port on VF0 behind the IOMMU, tenants on igbvf: every frame is captured"""
import steps
from host import Failed, Host, vf

COUNT = 200


def run(host: Host, report) -> None:
    steps.make_vfs(host)
    bound = steps.bind(host, 0)
    report("bound_to", bound["driver"])
    tenants = [steps.Tenant(host, index) for index in (1, 2, 3)]
    job = steps.capture(host, "probe", f"--vlan {steps.VLAN} --multicast {steps.GROUP} --out /lab/probe.pcap")
    sent = steps.send_every_kind(tenants, steps.mac(0), COUNT)
    job.stop("INT")
    stats, got = steps.statistics(host, "probe"), steps.counted(host, "/lab/probe.pcap")
    report("driver", stats["driver"])
    report("sent", sum(sent.values()))
    report("captured", stats["frames"])
    report("lost", stats["lost"])
    for kind in ("unicas", "group", "tagged", "all"):
        report(f"captured_{kind}", sum(k["frames"] for name, k in got["kinds"].items() if name[:-1] == kind))
    report("iommu_faults", steps.iommu_faults(host))
    steps.must_equal(sent, got, "capture")
    if stats["frames"] != sum(sent.values()) + got["other"] or stats["lost"] != 0 or got["poison"] != 0:
        raise Failed(f"captured {stats['frames']}, {got['other']} of them not ours, sent {sum(sent.values())}")
    if steps.iommu_faults(host) != 0 or stats["accounts"].get("port.stopped_accesses") != 0:
        raise Failed(f"the IOMMU stopped something: {stats['accounts']}")
    leave_it_clean(host, report)
    restart_of_the_pf(host, tenants, report)


def leave_it_clean(host: Host, report) -> None:
    """After an exit and after a kill the function may not write memory any more."""
    report("bus_master_after_exit", steps.bus_master(host, vf(0)))
    job = steps.capture(host, "killed")
    report("bus_master_while_capturing", steps.bus_master(host, vf(0)))
    job.stop("KILL")
    report("bus_master_after_kill", steps.bus_master(host, vf(0)))
    steps.capture(host, "again").stop("INT")
    if steps.bus_master(host, vf(0)):
        raise Failed("the function is still bus master")
    host.run(f"vigia host bind --restore {vf(0)}")
    driver = host.call(f"readlink {steps.SYS}/{vf(0)}/driver").out.strip()
    if driver:
        raise Failed(f"restored, it is held by {driver}, and had none before")


def restart_of_the_pf(host: Host, tenants, report) -> None:
    """The PF's interface goes down and up under a capture: noticed, and the VF started anew."""
    steps.bind(host, 0)
    job = steps.capture(host, "restart", "--out /lab/restart.pcap")
    host.run("ip link set eth0 down; sleep 1; ip link set eth0 up")
    host.wait_for("the PF's link", "ip link show eth0 | grep -q LOWER_UP")
    host.wait_for("the capture's restart", lambda: "start" in job.read("err").split("captures on", 1)[-1])
    tenant = tenants[0]
    host.run(f"ip -n {tenant.space} link set ten down; ip -n {tenant.space} link set ten up")
    host.wait_for("the tenant's link", f"ip -n {tenant.space} link show ten | grep -q LOWER_UP")
    tenant.send("after", steps.mac(0), COUNT)
    job.stop("INT")
    stats, got = steps.statistics(host, "restart"), steps.counted(host, "/lab/restart.pcap")
    report("pf_restarts", stats["pf_restarts"])
    report("captured_after_restart", got["kinds"].get("after", {}).get("frames", 0))
    steps.must_equal({"after": COUNT}, got, "after the PF's restart")
