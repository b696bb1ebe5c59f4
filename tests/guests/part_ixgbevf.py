# SPDX-License-Identifier: Apache-2.0
"""Linux's ixgbevf: VLANs, multicast, promiscuous mode, jumbo frames, down and up, reboots, a killed VM."""
import sys
import time
from pathlib import Path

from channel import Failed
from lab import Lab, OUTSIDE, address, mac, ping
from linux_vf import configure

IMAGES = ["tenant", "tenant-6.12"]
GROUP, STRANGER = "01:00:5e:01:02:03", "02:00:00:00:00:63"
SENDER, VLAN_HOST = (Path(__file__).with_name(name) for name in ("send_frames.py", "vlan_host.py"))
VLAN, VLAN_NET = 5, "10.55.0"


def rise(lab: Lab, action) -> dict[str, int]:
    """By how much each counter rises while action runs."""
    before = lab.counters()
    action()
    time.sleep(0.3)
    return {name: value - before[name] for name, value in lab.counters().items()}


def send(lab: Lab, to: str, vlan: str = "") -> dict[str, int]:
    """By how much each counter rises with 10 frames from outside."""
    return rise(lab, lambda: lab.inside(f"{sys.executable} {SENDER} wire {to} 10 {vlan}"))


def expect(what: str, got: dict[str, int], **wanted: int) -> None:
    """NAME__COUNTER=n: at least n, and no more than what machines say unasked (ARP) beyond it."""
    for key, value in wanted.items():
        name = key.replace("__", ".")
        if not value <= got[name] <= value + 6:
            raise Failed(f"{what}: {name} rose by {got[name]}, not by {value}: { {k: v for k, v in got.items() if v} }")


def vlans(lab: Lab, guests: list, report) -> None:
    for v, guest in enumerate(guests):
        guest.status("modprobe 8021q")
        guest.run(f"ip link add link eth0 name eth0.5 type vlan id {VLAN}; ip addr add {VLAN_NET}.{11 + v}/24 dev eth0.5;"
                  "ip link set eth0.5 up")
    report("vlan_neighbour", ping(guests[0].run, f"{VLAN_NET}.12"))
    expect("frames of its VLAN", send(lab, mac(0), str(VLAN)), vf0__written=10)
    expect("frames of a foreign VLAN", send(lab, mac(0), "6"), wire__filtered_vlan=10, vf0__copies=0)
    lab.spawn(f"{sys.executable} {VLAN_HOST} wire {VLAN} {VLAN_NET}.1")
    report("vlan_outside", ping(guests[0].run, f"{VLAN_NET}.1"))
    lab.balanced()


def groups(lab: Lab, guest, report) -> None:
    expect("a group's frames before it is joined", send(lab, GROUP), vf0__copies=0)
    guest.run(f"ip maddr add {GROUP} dev eth0")
    joined = send(lab, GROUP)
    expect("a group's frames after it is joined", joined, vf0__written=10)
    # The hash table is the port's: who listens to any group gets all that are in it.
    report("group_frames_to_who_joined_another", joined["vf1.copies"])
    guest.run(f"ip maddr del {GROUP} dev eth0")
    # The hash table has no members: a driver's bit stays until somebody else's reset. ixgbe leaves it too.
    report("group_frames_after_leaving", send(lab, GROUP)["vf0.copies"])


def promiscuous(lab: Lab, guest, report) -> None:
    """An 82599 gives no VF foreign unicast, and its PF driver says so."""
    guest.run("ip link set eth0 promisc on")
    foreign = send(lab, STRANGER)
    guest.run("ip link set eth0 promisc off")
    expect("foreign unicast to a promiscuous VF", foreign, wire__filtered_l2=10, vf0__copies=0)
    report("foreign_unicast_filtered", foreign["wire.filtered_l2"])


def repeat(lab: Lab, guests: list, report) -> None:
    one, two = guests
    begin = time.monotonic()
    one.run("n=0; while [ $n -lt 50 ]; do ip link set eth0 down && ip link set eth0 up || exit 1; n=$((n+1)); done", 180)
    report("down_up_50_times_s", time.monotonic() - begin)
    report("ping_after_down_up", ping(one.run, OUTSIDE))
    lab.balanced()
    report("reboot_s", one.reboot())
    configure(one, 0, lab.mtu)
    report("ping_after_reboot", ping(one.run, address(1)))
    lab.balanced()
    two.shell.start(f"ping -q -f -c 100000 -w 8 {address(0)}")
    time.sleep(1)
    one.kill()
    time.sleep(0.5)
    report("restart_after_kill_s", one.start())
    configure(one, 0, lab.mtu)
    two.shell.finish(30)
    report("ping_after_kill", ping(one.run, address(1)))
    report("ping_neighbour_to_outside", ping(two.run, OUTSIDE))
    lab.balanced()


def run(image: str, report) -> None:
    with Lab(vfs=2, mtu=9000, vlans=(VLAN, VLAN)) as lab:
        guests = [lab.guest(f"vm{v}", image, [f"vf{v}"]) for v in range(2)]
        for v, guest in enumerate(guests):
            report(f"boot_{v}_s", guest.start())
            configure(guest, v, lab.mtu)
            if mac(v) not in guest.run("ip link show eth0"):
                raise Failed(f"{guest.name} has not the MAC address that the PF gave it")
        report("kernel", guests[0].run("uname -r"))
        report("jumbo_outside", ping(guests[0].run, OUTSIDE, options="-s 8972 -M do"))
        report("jumbo_neighbour", ping(guests[0].run, address(1), options="-s 8972 -M do"))
        lab.balanced()
        vlans(lab, guests, report)
        groups(lab, guests[0], report)
        promiscuous(lab, guests[0], report)
        lab.balanced()
        repeat(lab, guests, report)
        report("never_lost_silently", {k: n for k, n in lab.counters().items()
                                       if n and k.split(".")[1] in ("no_descriptor", "queue_disabled", "dma_fault")})
