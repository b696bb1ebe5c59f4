# SPDX-License-Identifier: Apache-2.0
"""a driver that gives the device addresses it has not mapped: stopped by the IOMMU, told, and nothing is damaged"""
import json

import steps
from host import Failed, Host, PF, vf

COUNT = 200


def run(host: Host, report) -> None:
    steps.make_vfs(host)
    steps.bind(host, 0)
    tenant = steps.Tenant(host, 1)
    before = steps.iommu_faults(host)

    job = host.spawn(f"exec test_vfio_host fault vfio:{vf(0)} 8")
    host.wait_for("the capture with a bug", lambda: job.ended() or host.call("[ -e /tmp/fault.ready ]").status == 0)
    tenant.send("bug", steps.mac(0), COUNT)
    done = job.wait()
    if done.status != 0:
        raise Failed(f"test_vfio_host: {done.out[-500:]}{done.err[-500:]}")
    told = json.loads(done.out)
    accounts = told["statistics"]["accounts"]
    got = steps.counted(host, "/lab/fault.pcap")
    report("faults_in_dmesg", steps.iommu_faults(host) - before)
    report("port_stopped_accesses", accounts["port.stopped_accesses"])
    report("sent", COUNT)
    report("captured_whole", got["kinds"].get("bug", {}).get("different", 0))
    report("captured_without_content", got["poison"])
    report("canary_whole", told["canary_whole"])
    report("told", done.err.strip().splitlines()[-1] if done.err else "")
    host.run("dmesg | grep 'DMAR: .*fault addr' | head -3 >/lab/faults")
    report("first_fault", (host.share / "faults").read_text().splitlines()[0][-110:])
    if accounts["port.stopped_accesses"] == 0 or "the IOMMU stops accesses" not in done.err:
        raise Failed(f"the capture says nothing of it: {accounts} {done.err[-800:]}")
    if got["poison"] + got["kinds"]["bug"]["different"] != COUNT:
        raise Failed(f"frames that are neither whole nor empty: {got}")
    no_damage(host, tenant, report)
    other_ways(host, report)


def no_damage(host: Host, tenant, report) -> None:
    """The same VF, without the bug, and the other VF, as if nothing had been."""
    faults = steps.iommu_faults(host)
    job = steps.capture(host, "well", "--out /lab/well.pcap")
    tenant.send("well", steps.mac(0), COUNT)
    job.stop("INT")
    steps.must_equal({"well": COUNT}, steps.counted(host, "/lab/well.pcap"), "after the faults")
    report("captured_afterwards", COUNT)
    if steps.iommu_faults(host) != faults or steps.statistics(host, "well")["accounts"]["port.stopped_accesses"] != 0:
        raise Failed("there are faults without a bug")
    if host.call("dmesg | grep -E 'Oops|BUG:|general protection|Bad page'").out:
        raise Failed("the kernel is damaged")


def other_ways(host: Host, report) -> None:
    """INTx and FLR of the PF; ways that are refused, and with which words."""
    report("open", host.run(f"test_vfio_host open vfio:{vf(0)}").strip())
    refused = host.call(f"test_vfio_host open vfio-noiommu:{vf(0)}")
    if refused.status == 0 or "behind an IOMMU" not in refused.err:
        raise Failed(f"no-IOMMU mode on a device with an IOMMU: {refused.err}")
    up = host.call(f"vigia host bind {PF} vfio-pci")
    if up.status != 2 or "eth0 is up" not in up.err:
        raise Failed(f"a PF in use was taken from its driver: {up.err}")
    tenant_gone = f"ip netns del t1; echo 0 >{steps.SYS}/{PF}/sriov_numvfs; ip link set eth0 down"
    host.run(f"{tenant_gone}; vigia host bind {PF} vfio-pci")
    figures = json.loads(host.run(f"test_vfio_host intx vfio:{PF}"))
    report("intx", figures)
    if figures != {"fired": True, "while_masked": False, "after_unmask": True, "msix_refused": True, "msix_then": True,
                   "flr": True}:
        raise Failed(f"INTx: {figures}")
    host.run(f"vigia host bind --restore {PF}")
    host.wait_for("the PF's interface", "ip link show eth0")
    report("pf_back_with", host.run(f"basename $(readlink {steps.SYS}/{PF}/driver)").strip())
