# SPDX-License-Identifier: Apache-2.0
"""Steps that parts share: VFs of the kernel's PF driver, tenants on them, frames between them."""
import json

from host import Failed, Host, PF, vf

SYS = "/sys/bus/pci/devices"
FRAMES = "python3 /source/tests/host/frames.py"
VLAN, GROUP = 5, "01:00:5e:00:00:fb"


def mac(index: int) -> str:
    """What the PF's administrator gives to a VF."""
    return f"02:00:00:00:00:{index:02x}"


def make_vfs(host: Host, count: int = 4) -> None:
    """VFs of the kernel's igb, bound to nothing, each with an address."""
    host.run(f"modprobe igb; ip link set eth0 up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1;"
             f"echo 0 >{SYS}/{PF}/sriov_drivers_autoprobe; echo {count} >{SYS}/{PF}/sriov_numvfs")
    for index in range(count):
        host.run(f"ip link set eth0 vf {index} mac {mac(index)}")
    host.wait_for("the PF's link", "ip link show eth0 | grep -q LOWER_UP")


def bind(host: Host, index: int, driver: str = "vfio-pci") -> dict:
    """By our own command; what it says."""
    return json.loads(host.run(f"vigia host bind {vf(index)} {driver} --json"))


class Tenant:
    """A namespace with a VF of the kernel's igbvf in it; its interface is ten."""

    def __init__(self, host: Host, index: int):
        self.host, self.index, self.space = host, index, f"t{index}"
        bind(host, index, "igbvf")
        host.wait_for("an interface of igbvf", f"[ -d {SYS}/{vf(index)}/net ] && [ -n \"$(ls {SYS}/{vf(index)}/net)\" ]")
        name = host.run(f"ls {SYS}/{vf(index)}/net").strip()
        host.run(f"ip netns add {self.space}; ip link set {name} down; ip link set {name} netns {self.space} name ten;"
                 f"ip -n {self.space} link set ten up")
        host.wait_for("the tenant's link", f"ip -n {self.space} link show ten | grep -q LOWER_UP")

    def send(self, kind: str, to: str, count: int, vlan: int = 0) -> None:
        self.host.run(f"ip netns exec {self.space} {FRAMES} send ten {kind} {to} {count} {vlan or ''}", 120)


def send_every_kind(tenants: list[Tenant], to: str, count: int) -> dict[str, int]:
    """From each tenant in turn; how many of each kind went out."""
    for tenant in tenants:
        for kind, where, vlan in (("unicast", to, 0), ("group", GROUP, 0), ("tagged", to, VLAN), ("all", "ff:ff:ff:ff:ff:ff", 0)):
            tenant.send(f"{kind[:6]}{tenant.index}", where, count, vlan)
    return {f"{kind[:6]}{tenant.index}": count for tenant in tenants for kind in ("unicast", "group", "tagged", "all")}


def capture(host: Host, name: str, options: str = "", device: str = f"vfio:{vf(0)}"):
    """Our capture on a VF in the background, when it receives; stop("INT") ends it, statistics() reads what it says."""
    job = host.spawn(f"vigia-capture run --device {device} --name {name} --ready-file /tmp/{name}.ready "
                     f"--stats-json /lab/{name}.json {options}")
    host.wait_for("the capture", lambda: job.ended() or host.call(f"[ -e /tmp/{name}.ready ]").status == 0, 90)
    if job.ended():
        raise Failed(f"vigia-capture: {job.read('err')}")
    return job


def statistics(host: Host, name: str) -> dict:
    return json.loads((host.share / f"{name}.json").read_text())


def counted(host: Host, file: str) -> dict:
    return json.loads(host.run(f"{FRAMES} count {file}", 120))


def must_equal(sent: dict[str, int], got: dict, what: str) -> None:
    """Each kind arrived whole, once and in order."""
    for kind, frames in sent.items():
        have = got["kinds"].get(kind)
        if have != {"frames": frames, "different": frames, "in_order": True, "broken": 0}:
            raise Failed(f"{what}: {kind}: {frames} frames sent, captured: {have}")


def accounts_hold(accounts: dict[str, int]) -> None:
    """The ledger's lines within a capture."""
    for whole, parts in (("engine.taken", ("engine.duplicate", "engine.shed", "engine.ring_full", "engine.appended")),
                         ("engine.appended", ("store.read", "store.lapped", "store.unread")),
                         ("store.read", ("store.stored", "store.disk_dropped"))):
        if accounts[whole] != sum(accounts[part] for part in parts):
            raise Failed(f"{whole} {accounts[whole]} is not {[(part, accounts[part]) for part in parts]}")


def iommu_faults(host: Host) -> int:
    return int(host.run("dmesg | grep -c 'DMAR: .*fault addr' || :"))


def bus_master(host: Host, function: str) -> bool:
    return int(host.run(f"setpci -s {function} COMMAND"), 16) & 4 != 0
