# SPDX-License-Identifier: Apache-2.0
"""Two tenants on Linux's ixgbevf and the world outside: ping and iperf3. The shortest part."""
from lab import Lab, OUTSIDE, address, ping
from linux_vf import configure, iperf

IMAGES = ["tenant", "tenant-6.12"]


def run(image: str, report) -> None:
    with Lab(vfs=2) as lab:
        one, two = (lab.guest(f"vm{v}", image, [f"vf{v}"]) for v in range(2))
        report("boot_s", one.start())
        report("boot_second_s", two.start())
        report("kernel", one.run("uname -r"))
        for v, guest in enumerate((one, two)):
            configure(guest, v)
        report("ping_outside", ping(one.run, OUTSIDE))
        report("ping_neighbour", ping(one.run, address(1)))
        report("ping_from_outside", ping(lab.inside, address(1)))
        lab.balanced()
        two.run("iperf3 -s -D")
        lab.spawn(f"iperf3 -s -B {OUTSIDE}")
        for name, server in (("neighbour", address(1)), ("outside", OUTSIDE)):
            report(f"tcp_to_{name}", iperf(lab, one.run, server))
            report(f"tcp_from_{name}", iperf(lab, one.run, server, "-R"))
            report(f"udp_to_{name}", iperf(lab, one.run, server, "-u -b 50M"))
            report(f"udp_from_{name}", iperf(lab, one.run, server, "-u -b 50M -R"))
        lab.balanced()
        report("frames", {k: n for k, n in lab.counters().items() if n and k.split(".")[0] in ("wire", "tx")})
