#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots a tenant image and uses its programs. tenant_boot.py [IMAGE]; exit status 77 when the images are not built."""
import sys

import guest


def expect(machine: guest.Guest, command: str, status: int, text: str) -> None:
    got, output = machine.run(command)
    if got != status or text not in output:
        raise AssertionError(f"{command}: status {got} (expected {status}), printed:\n{output}\nexpected in it: {text}")


def main() -> int:
    image = sys.argv[1] if len(sys.argv) > 1 else "tenant"
    if absent := guest.missing_images(image):
        print(f"SKIPPED: {absent}")
        return guest.SKIPPED
    config = {"role": "tenant", "name": "web", "mac": "52:54:00:00:00:11", "address": "10.0.0.11/24", "gateway": "10.0.0.1",
              "mtu": 1400, "script": "echo from-the-script; exit 3\n"}
    nic = ("-netdev", "hubport,hubid=0,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile=,mac=52:54:00:00:00:11")
    with guest.Guest(image, config, nic) as machine:
        print(f"{image}: ready {machine.wait_console('vigia-tenant: web ready'):.1f} s after QEMU's start")
        machine.wait_console("vigia-tenant: web script exit 3")
        assert "from-the-script" in machine.console_text, machine.console_text
        expect(machine, "hostname", 0, "web")
        expect(machine, "exit 7", 7, "")
        expect(machine, "printf unended; false", 1, "unended")
        expect(machine, "ip -br address show eth0; ip route", 0, "10.0.0.11/24")
        expect(machine, "cat /sys/class/net/eth0/mtu", 0, "1400")
        expect(machine, "curl -s http://10.0.0.11/", 0, "web")
        expect(machine, "dnsmasq -R -h -A /host.test/10.0.0.99 && dig +short host.test @127.0.0.1", 0, "10.0.0.99")
        expect(machine, "iperf3 -s -D && sleep 1 && iperf3 -c 127.0.0.1 -t 1", 0, "iperf Done")
        expect(machine, "ping -c 1 -W 2 127.0.0.1 && tcpdump --version && ethtool -i eth0", 0, "virtio_net")
        expect(machine, "modprobe ixgbevf && lsmod", 0, "ixgbevf")
        print(f"{image}: memory used {machine.run('free -m | sed -n 2p')[1].split()[2]} MB of 256")
        machine.run("poweroff &")
        machine.process.wait(30)
    return 0


sys.exit(main())
