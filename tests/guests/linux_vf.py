# SPDX-License-Identifier: Apache-2.0
"""Steps on Linux's ixgbevf that several parts share."""
import json

from channel import Failed
from guest import Guest
from lab import Lab, address


def interface(guest: Guest, driver: str = "ixgbevf") -> str:
    """The name of the interface that the driver has made."""
    text = guest.run("for i in /sys/class/net/*; do echo $(basename $i) $(readlink $i/device/driver); done", 20)
    for line in text.splitlines():
        if line.endswith("/" + driver):
            return line.split()[0]
    raise Failed(f"{guest.name}: no interface of {driver}: {text}; {guest.shell.run('dmesg | tail -20')[1]}")


def configure(guest: Guest, vf: int, mtu: int = 1500, driver: str = "ixgbevf") -> str:
    """Gives the interface address(vf) and brings it up. Returns its name."""
    guest.status(f"modprobe {driver}", 90)
    name = interface(guest, driver)
    guest.run("for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 >$f; done")  # it speaks unasked
    guest.run(f"ip addr flush dev {name}; ip addr add {address(vf)}/24 dev {name}; ip link set {name} mtu {mtu} up")
    return name


def iperf(lab: Lab, client, server: str, options: str = "", seconds: int = 3) -> dict[str, float]:
    """client: a function that runs a command. A server must listen at the address."""
    text = client(f"iperf3 -J -c {server} -t {seconds} {options}", seconds + 30)
    end = json.loads(text[text.index("{"):text.rindex("}") + 1])["end"]
    if "sum" in end:
        return {"mbit_s": round(end["sum"]["bits_per_second"] / 1e6, 1),
                "lost_percent": round(end["sum"]["lost_percent"], 2)}
    return {"mbit_s": round(end["sum_received"]["bits_per_second"] / 1e6, 1),
            "retransmits": end["sum_sent"].get("retransmits", 0)}
