# SPDX-License-Identifier: Apache-2.0
"""vigia doctor names each fault that a host can have, with evidence and remedy; and says nothing of a host without"""
import json
from contextlib import contextmanager

from host import CMDLINE, NO_ACS, PF, Failed, vf
from libvirtd import start_libvirt, stop_libvirt

CONTROL = f"/run/vigia/{PF}.control"
DEVICE = f"/sys/bus/pci/devices/{PF}"


def findings(host) -> list[dict]:
    done = host.call(f"vigia doctor --device {PF} --json")
    if done.status not in (0, 1):
        raise Failed(f"vigia doctor: status {done.status}: {done.out}{done.err}")
    return json.loads(done.out)["findings"]


def sound(host, but: tuple[str, ...] = ()) -> None:
    """What is said of the host when nothing is wrong with it."""
    said = [f["code"] for f in findings(host) if f["code"] not in but]
    if said:
        raise Failed(f"without a fault the doctor finds {said}: {findings(host)}")


def expect(host, report, code: str, *evidence: str) -> None:
    found = [f for f in findings(host) if f["code"] == code]
    if not found:
        raise Failed(f"{code} is not found; found: {findings(host)}")
    finding = found[0]
    for text in evidence:
        if text not in finding["evidence"]:
            raise Failed(f"{code}: evidence '{finding['evidence']}' does not have '{text}'")
    if not finding["remedy"]:
        raise Failed(f"{code}: no remedy")
    report(code, f"{finding['evidence']} => {finding['remedy']}")


@contextmanager
def fault(host, make: str, mend: str):
    """Done and undone, so that the next finding is not that of the last fault; the doctor is content again."""
    host.run(make)
    yield
    host.run(mend)
    sound(host)


def bind(function: str, driver: str) -> str:
    """Shell text that gives a function to a driver."""
    device = f"/sys/bus/pci/devices/{function}"
    return (f"modprobe {driver}; [ ! -e {device}/driver ] || echo {function} >{device}/driver/unbind;"
            f"echo {driver} >{device}/driver_override; echo {function} >/sys/bus/pci/drivers_probe; ls -d {device}/driver >/dev/null")


def sound_host(host) -> None:
    host.run(f"modprobe igb; modprobe vfio_iommu_type1; modprobe vfio-pci; echo 64 >/proc/sys/vm/nr_hugepages;"
             f"ip link set eth0 up; echo 0 >{DEVICE}/sriov_drivers_autoprobe; echo 2 >{DEVICE}/sriov_numvfs")
    start_libvirt(host)
    host.wait_for("the link of the PF", "grep -q 1 /sys/class/net/eth0/carrier")


def faults_of_one_boot(host, report) -> None:
    with fault(host, "ip link set eth0 down", "ip link set eth0 up; sleep 1"):
        expect(host, report, "pf-down", "/sys/class/net/eth0/flags")
    with fault(host, bind(vf(0), "igbvf"), bind(vf(0), "vfio-pci")):
        expect(host, report, "vfs-on-host", f"{vf(0)} (igbvf")
    with fault(host, "echo 0 >/proc/sys/vm/nr_hugepages", "echo 64 >/proc/sys/vm/nr_hugepages"):
        expect(host, report, "no-hugepages", "nr_hugepages")
    with fault(host, f"echo 0 >{DEVICE}/sriov_numvfs", f"echo 2 >{DEVICE}/sriov_numvfs"):
        expect(host, report, "no-vfs", f"sriov_numvfs of {PF} is 0, of 7")
    with fault(host, f"echo 1 >{DEVICE}/sriov_drivers_autoprobe", f"echo 0 >{DEVICE}/sriov_drivers_autoprobe"):
        expect(host, report, "autoprobe-on", "is 1")
    with fault(host, "rmmod vfio-pci; mv /lib/modules/*/vfio-pci.ko /root", "mv /root/vfio-pci.ko /lib/modules/*/; modprobe vfio-pci"):
        expect(host, report, "no-vfio-pci", "modules.dep")
    port(host, report)
    stop_libvirt(host)
    expect(host, report, "libvirt-down", "libvirt-sock")
    start_libvirt(host)
    sound(host)
    host.run(f"echo {PF} >{DEVICE}/driver/unbind")
    expect(host, report, "pf-driver", f"{DEVICE}/driver is absent")


def port(host, report) -> None:
    """With a manager beside Linux's driver: what an administrator takes from it. One VF is a tenant's."""
    (host.share / "pf.yaml").write_text("pf: {generator: kernel, vfs: 2, vf: [{index: 0, name: web, mac: \"02:00:00:00:00:01\"}]}\n")
    manager = host.spawn(f"mkdir -p /run/vigia; exec vigia-pf --device pci:{PF} --config /lab/pf.yaml --control {CONTROL}"
                         " --journal /run/pf.journal --ready-file /run/pf.ready")
    host.wait_for("vigia-pf", "[ -e /run/pf.ready ]", 60)
    sound(host, but=("not-known",))
    host.run("ip link set eth0 vf 0 spoofchk off")
    host.wait_for("vigia-pf sees it", f"vigia pf status --control {CONTROL} --json | grep -q '\"overruled\": 1'", 10)
    expect(host, report, "setting-overruled", "VF 0")
    manager.stop()
    host.run(f"rm -f {CONTROL}; ip link set eth0 vf 0 spoofchk on")
    sound(host)


def run(host, report) -> None:
    sound_host(host)
    sound(host)
    faults_of_one_boot(host, report)

    host.again(cmdline=f"{CMDLINE} {NO_ACS}".replace("iomem=relaxed", ""))
    sound_host(host)
    sound(host, but=("registers-closed", "group-not-viable"))
    expect(host, report, "registers-closed", "Invalid argument", "no iomem=relaxed")
    expect(host, report, "group-not-viable", f"{PF} (igb)")

    host.again(iommu=False, cmdline="iomem=relaxed")
    sound_host(host)
    sound(host, but=("no-iommu",))
    expect(host, report, "no-iommu", "no group in /sys/kernel/iommu_groups")
