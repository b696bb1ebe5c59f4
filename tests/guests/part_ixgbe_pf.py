# SPDX-License-Identifier: Apache-2.0
"""Linux's ixgbe on the PF function itself, in a guest: probe, link, ping, iperf3, jumbo frames, statistics, resets."""
import re
import time

from channel import Failed
from lab import Lab, OUTSIDE, PF_MAC, ping
from linux_vf import configure, iperf

IMAGES = ["pf", "pf-6.12"]


def statistics(guest) -> dict[str, int]:
    text = guest.run("ethtool -S eth0", 60)
    return {k: int(v) for k, v in re.findall(r"^ *(\w+): (\d+)$", text, re.M)}


def agree(lab: Lab, guest) -> dict[str, int]:
    """What ethtool -S says against the accounts; the driver reads its registers about every second."""
    pairs = {"rx_packets": "pf.written", "tx_packets": "pf.tx_sent", "rx_pkts_nic": "wire.accepted",
             "tx_pkts_nic": "tx.wire_only"}
    wrong: dict = {}
    for _ in range(10):
        time.sleep(1.5)
        seen, accounts = statistics(guest), lab.counters()
        wrong = {k: (seen[k], accounts[a]) for k, a in pairs.items() if seen[k] != accounts[a]}
        if not wrong:
            return {k: seen[k] for k in pairs}
    raise Failed(f"ethtool and softnic disagree: {wrong}")


def run(image: str, report) -> None:
    with Lab(vfs=1, manager=False, mtu=9000) as lab:
        guest = lab.guest("pf", image, ["pf"], memory_mib=512)
        report("boot_s", guest.start(120))
        guest.status("modprobe ixgbe", 60)
        configure(guest, 0, driver="ixgbe")
        if PF_MAC not in guest.run("ip link show eth0"):
            raise Failed("the address is not that of the EEPROM")
        report("probe", guest.run("dmesg | grep -o 'MAC: 2, PHY.*'"))
        report("ping", ping(guest.run, OUTSIDE))
        report("link", guest.run("ethtool eth0 | grep -E 'Speed|Link detected'"))
        report("agree", agree(lab, guest))
        lab.spawn(f"iperf3 -s -B {OUTSIDE}")
        report("tcp_to_outside", iperf(lab, guest.run, OUTSIDE))
        report("tcp_from_outside", iperf(lab, guest.run, OUTSIDE, "-R"))
        report("udp_to_outside", iperf(lab, guest.run, OUTSIDE, "-u -b 50M"))
        lab.balanced()
        guest.run("ip link set eth0 mtu 9000", 30)
        report("jumbo", ping(guest.run, OUTSIDE, options="-s 8972 -M do"))
        guest.run("n=0; while [ $n -lt 10 ]; do ip link set eth0 down && ip link set eth0 up || exit 1; n=$((n+1)); done",
                  180)
        report("ping_after_down_up", ping(guest.run, OUTSIDE, tries=30))
        lab.balanced()
