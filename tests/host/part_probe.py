# SPDX-License-Identifier: Apache-2.0
"""A probe in a VM in this VM captures on a VF that libvirt gave it (hostdev), shown what the port receives; vigia pull
brings the packets out"""
import json
import time

from host import PF, Failed, vf
from libvirtd import start_libvirt
from wire import Wire, numbers_in

HOST = {"memory_mib": 4096}
NOBODY, TENANT = "02:00:00:00:00:77", "02:00:00:00:00:01"
CONTROL = f"/run/vigia/{PF}.control"
FRAMES, RATE = 300, 60  # emulation within emulation
PORT = f"""pf:
  generator: kernel
  vfs: 2
  vf:
    - {{index: 0, mac: "{TENANT}", name: web}}
"""
# The 82576 that is emulated copies received frames only, hence the direction.
PROBE = f"""vm:
  name: lookout
  kind: vnp
  vcpus: 1
  memory: 768M
  hugepages: {{size: none, guest: 32}}
  network: {{mode: vf, pf: "{PF}", vf: 1}}
  capture: {{ring: 16M, dedup: "on"}}
  tap: {{direction: rx}}
"""


def driver(host, function: str) -> str:
    return host.run(f"basename $(readlink /sys/bus/pci/devices/{function}/driver) 2>/dev/null || true").strip()


def start_port(host) -> None:
    (host.share / "pf.yaml").write_text(PORT)
    host.run("mkdir -p /run/vigia; modprobe igb; modprobe vfio_iommu_type1; modprobe vfio-pci")
    host.spawn(f"exec vigia-pf --device pci:{PF} --config /lab/pf.yaml --control {CONTROL} --journal /run/pf.journal"
               " --ready-file /run/pf.ready")
    host.wait_for("vigia-pf", "[ -e /run/pf.ready ]", 60)
    start_libvirt(host)


def up(host, report) -> None:
    (host.share / "probe.yaml").write_text(PROBE)
    begin = time.monotonic()
    done = host.call("vigia probe up /lab/probe.yaml --wait 540s --json", 560)
    if done.status != 0:
        console = host.call("cat /run/vigia/*.console.log").out
        raise Failed(f"vigia probe up: status {done.status}: {done.out}{done.err}; console: {console}")
    report("up_s", time.monotonic() - begin)
    # With dedup the probe compares with the port's mirrors: what went wrong in telling it is a remark.
    told = [step for step in json.loads(done.out)["timings"] if "mirrored" in step]
    remarks = json.loads(done.out)["remarks"]
    if not told or any("mirrored" in remark for remark in remarks):
        raise Failed(f"the probe was not told what is mirrored to it: {done.out}")
    report("driver_of_vf", driver(host, vf(1)))
    if driver(host, vf(1)) != "vfio-pci":
        raise Failed(f"the probe runs, but {vf(1)} is held by {driver(host, vf(1)) or 'nobody'}")


def capture(host, report) -> None:
    wire = Wire(host)
    sent = [*wire.send(TENANT, FRAMES, RATE), *wire.send(NOBODY, FRAMES, RATE)]
    own = json.loads(host.run("vigia probe status lookout --json", 120))
    guest = own[0]["guest"]
    report("driver_in_the_probe", guest["port"]["driver"])
    report("lost", guest["capture"]["lost"])
    host.run("vigia pull lookout -o /lab/pulled.pcapng", 200)
    got = numbers_in(host.share / "pulled.pcapng")
    report("sent", len(sent))
    report("pulled", len(got))
    if got != sent:
        raise Failed(f"{len(sent)} frames sent, {len(set(sent) & set(got))} of them pulled, {len(got)} in all")


def down(host, report) -> None:
    begin = time.monotonic()
    host.run("vigia probe down lookout", 200)
    report("down_s", time.monotonic() - begin)
    left = json.loads(host.run(f"vigia pf show --control {CONTROL} --json"))
    if "lookout" in json.dumps(left):
        raise Failed(f"the port still knows the probe: {left}")
    if host.run("virsh -c qemu:///system list --all --name").strip():
        raise Failed("a domain is left")


def run(host, report) -> None:
    start_port(host)
    up(host, report)
    capture(host, report)
    down(host, report)
