# SPDX-License-Identifier: Apache-2.0
"""Frames as they were on a wire, to compare what a probe has with what tcpdump saw."""
import collections
import pathlib
import struct
import subprocess
import time

from stage import Failed

SHORTEST = 60  # bytes; a NIC pads what is shorter
# Sends from the namespace: COUNT datagrams to each address given, the last one a broadcast.
SENDER = """import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
for number in range(int(sys.argv[1])):
    for to in sys.argv[2:]:
        s.sendto(b"vigia %06d " % number + to.encode(), (to, 9999))
    time.sleep(0.01)
"""


# Sends COUNT tagged frames from an address to each one given: python3 - INTERFACE VLAN COUNT FROM TO.. No VLAN driver
# of the host is needed.
TAGGED_SENDER = """import socket, sys, time
name, vlan, count, source, *to = sys.argv[1:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((name, 0))
for number in range(int(count)):
    for mac in to:
        ends = bytes.fromhex(mac) + bytes.fromhex(source)
        s.send(ends + b"\\x81\\0" + int(vlan).to_bytes(2, "big") + b"\\x88\\xb5" + b"vigia %06d" % number + bytes(50))
    time.sleep(0.01)
"""


def frames_of(file: pathlib.Path):
    """Counter of whole frames, without VLAN tags: tcpdump sees one where a VF's port VLAN has it taken off."""
    classic = file.with_suffix(".classic.pcap")
    subprocess.run(["tshark", "-n", "-r", file, "-F", "pcap", "-w", classic], check=True, stderr=subprocess.DEVNULL)
    data, at, out = classic.read_bytes(), 24, collections.Counter()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    while at < len(data):
        length = struct.unpack_from(order + "I", data, at + 8)[0]
        frame = data[at + 16:at + 16 + length]
        if frame[12:14] == b"\x81\x00":
            frame = frame[:12] + frame[16:]
        out[frame.ljust(SHORTEST, b"\0")] += 1
        at += 16 + length
    return out


class Cable:
    """tcpdump at the namespace's end, while datagrams are sent; `with Cable(stage) as cable: cable.send(..)`."""

    def __init__(self, stage, interface="wire0"):
        self.stage, self.interface = stage, interface
        self.file = stage.dir / "cable.pcap"

    def __enter__(self):
        self.tcpdump = self.stage.spawn("tcpdump", ["ip", "netns", "exec", self.stage.ns, "tcpdump", "-n", "-U", "-i",
                                                    self.interface, "-w", self.file])
        self.stage.wait_for("tcpdump", lambda: "listening on" in self.stage.log("tcpdump"))
        return self

    def send(self, count, *to):
        subprocess.run(["ip", "netns", "exec", self.stage.ns, "python3", "-c", SENDER, str(count), *to], check=True)

    def send_tagged(self, vlan, count, source, *to):
        subprocess.run(["ip", "netns", "exec", self.stage.ns, "python3", "-c", TAGGED_SENDER, self.interface, str(vlan),
                        str(count), source.hex(), *[mac.hex() for mac in to]], check=True)

    def __exit__(self, *_):
        time.sleep(1)  # answers, and the last page of the ring
        self.tcpdump.terminate()
        self.tcpdump.wait()

    def compare(self, name, mac, report, title, wanted=lambda frame: True):
        """Every wanted frame of the cable must be in what the probe captured. mac: of the namespace's end."""
        file = self.stage.dir / f"{name}.pcapng"
        self.stage.vigia("pull", name, "-o", file)
        seen, has = frames_of(self.file), frames_of(file)
        for way, chosen in (("to the host", lambda f: f[6:12] == mac), ("from the host", lambda f: f[6:12] != mac)):
            cable = collections.Counter({f: n for f, n in seen.items() if chosen(f) and wanted(f)})
            missing = cable - has
            report(f"{title}: {way}", {"on the cable": cable.total(), "captured of them": (cable & has).total()})
            if missing or (way == "to the host" and not cable):
                first = next(iter(missing), b"").hex()
                raise Failed(f"{title}: {missing.total()} frames of {cable.total()} {way} are not in the capture: {first}")
        return has
