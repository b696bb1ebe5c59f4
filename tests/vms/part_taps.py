# SPDX-License-Identifier: Apache-2.0
"""What a probe of the port and agents of a port and of a VLAN see, held against tcpdump; refusal, time limit, Ctrl-C"""
import json
import signal
import subprocess
import time

from frames import Cable  # finds scene
from scene import DB, DB_MAC, WEB, WEB_MAC, Failed

BROADCAST, COUNT, VLAN = "10.7.0.255", 200, 30
PORT = "tap: {port: true, direction: both, allow_port_scope: true}"


def run(stage, report):
    refused(stage, report)
    interrupted(stage, report)
    probe(stage, report)
    port_for_a_time(stage, report)
    vlan(stage, report)


def station(mac):
    return bytes.fromhex(mac.replace(":", ""))


def our_end(stage):
    done = subprocess.run(["ip", "-n", stage.ns, "-json", "link", "show", "wire0"], check=True, capture_output=True)
    return station(json.loads(done.stdout)[0]["address"])


def refused(stage, report):
    spec = stage.agent_spec(tap="tap: {tenants: [web], direction: tx}")
    process = stage.run_vigia("agent", "up", spec)
    said = process.communicate()[1]
    report("tx of one tenant is refused", {"exit status": process.returncode, "said": said.strip().splitlines()[-1]})
    if process.returncode != 2 or "cannot mirror what one VF sends" not in said:
        raise Failed(f"expected exit status 2 and the reason: {said}")
    stage.expect_nothing_left("after the refusal")


def interrupted(stage, report):
    for step in ("setting up the VF", "starting the domain", "waiting for the guest"):
        process = stage.run_vigia("agent", "up", stage.agent_spec())
        stage.until_step(process, step)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        said = process.communicate(timeout=60)[1]
        report(f"Ctrl-C at '{step}'", {"exit status": process.returncode, "seconds": round(time.monotonic() - begin, 2)})
        if process.returncode != 1 or "interrupted" not in said:
            raise Failed(f"Ctrl-C at '{step}': exit status {process.returncode}: {said}")
        stage.expect_nothing_left(f"after Ctrl-C at '{step}'")


def whole_port(stage, report, name, title):
    with Cable(stage) as cable:
        cable.send(COUNT, WEB, DB, BROADCAST)
    has = cable.compare(name, our_end(stage), report, title)
    for to, mac in (("web", WEB_MAC), ("db", DB_MAC), ("all", "ff:ff:ff:ff:ff:ff")):
        frames = sum(n for f, n in has.items() if f[:6] == station(mac) and b"vigia 0" in f and f[6:12] == our_end(stage))
        report(f"{title}: datagrams to {to} of {COUNT}", frames)
        if frames != COUNT:
            raise Failed(f"{title}: {frames} of {COUNT} datagrams to {to}")


def probe(stage, report):
    up = json.loads(stage.vigia("probe", "up", stage.agent_spec("uplink", kind="vnp", tap=""), "--json"))
    report("probe's scopes", up["scopes"])
    whole_port(stage, report, "uplink", "probe of the port")
    stage.vigia("probe", "down", "uplink")
    stage.expect_nothing_left("after the probe")


def port_for_a_time(stage, report):
    up = json.loads(stage.vigia("agent", "up", stage.agent_spec(tap=PORT), "--for", "20s", "--json"))
    begin = time.monotonic()
    report("agent of the port's scopes", up["scopes"])
    whole_port(stage, report, "spy", "agent of the port")
    stage.wait_for("the end of --for 20s", lambda: "spy" not in stage.domains(), 60)
    report("--for 20s ended after s", time.monotonic() - begin)
    stage.expect_nothing_left("after --for 20s")


def vlan(stage, report):
    """Both tenants as members of a VLAN; the namespace sends tagged frames."""
    stage.vigia("tenant", "down", "--all")
    stage.tenants(f", vlan: {VLAN}")
    up = json.loads(stage.vigia("agent", "up", stage.agent_spec(tap=f"tap: {{vlan: {VLAN}}}"), "--json"))
    report("agent of a VLAN's scopes", up["scopes"])
    ours = our_end(stage)
    with Cable(stage) as cable:
        cable.send_tagged(VLAN, COUNT, ours, station(WEB_MAC), station(DB_MAC), b"\xff" * 6)
        stage.in_guest("db", f"ping -q -c 20 -i 0.2 {WEB}")
    has = cable.compare("spy", ours, report, "agent of a VLAN", lambda frame: frame[12:14] == b"\x88\xb5")
    between = {way: sum(n for f, n in has.items() if f[6:12] == station(a) and f[:6] == station(b) and f[23] == 1)
               for way, a, b in (("db to web", DB_MAC, WEB_MAC), ("web to db", WEB_MAC, DB_MAC))}
    report("agent of a VLAN: 20 pings between tenants", between)
    if min(between.values()) < 20:
        raise Failed(f"the agent of the VLAN has of 20 pings: {between}")
    stage.vigia("agent", "down", "spy")
    stage.vigia("tenant", "down", "--all")
    stage.tenants()
    stage.expect_nothing_left("after the VLAN")
