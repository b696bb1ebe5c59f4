#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Numbered frames, sent and counted in the host VM:
frames.py send INTERFACE KIND DESTINATION COUNT [VLAN]
frames.py count FILE.pcap           prints JSON: per kind how many, how many different ones, whether in order"""
import json
import socket
import struct
import sys
import time
from collections import defaultdict

TYPE = b"\x88\xb5"  # EtherType for local experiments
MARK = b"vigia"
BURST, PAUSE = 16, 0.01  # a VM without KVM is slow, and rings of the kernel's VF driver hold 256


def send(interface: str, kind: str, destination: str, count: int, vlan: int = 0) -> None:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((interface, 0))
    head = bytes.fromhex(destination.replace(":", "")) + raw.getsockname()[4]
    head += (b"\x81\x00" + vlan.to_bytes(2, "big") if vlan else b"") + TYPE + MARK + kind.encode().ljust(8)
    for number in range(count):
        raw.send(head + struct.pack(">I", number) + bytes(40 + number % 1400))
        if number % BURST == BURST - 1:
            time.sleep(PAUSE)


def packets(file: str):
    data = open(file, "rb").read()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(data):
        length, wire = struct.unpack_from(order + "II", data, at + 8)
        yield data[at + 16:at + 16 + length], wire
        at += 16 + length


def count(file: str) -> dict:
    numbers, other, poison = defaultdict(list), 0, 0
    for frame, wire in packets(file):
        tag = frame[12:14] == b"\x81\x00"
        body = frame[16 if tag else 12:]
        if body[:2] + body[2:7] == TYPE + MARK:
            kind, (number,) = body[7:15].decode().strip(), struct.unpack_from(">I", body, 15)
            whole = body[19:].rstrip(b"\0") == b"" and wire == max(60, 12 + (4 if tag else 0) + 19 + 40 + number % 1400)
            numbers[kind].append(number if whole else -1)
        elif frame and frame == b"\xff" * len(frame):
            poison += 1
        else:
            other += 1
    out = {kind: {"frames": len(n), "different": len(set(n)), "in_order": n == sorted(n), "broken": n.count(-1)}
           for kind, n in numbers.items()}
    return {"kinds": out, "other": other, "poison": poison}


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(*sys.argv[2:5], *[int(word) for word in sys.argv[5:]])
    else:
        print(json.dumps(count(sys.argv[2])))
