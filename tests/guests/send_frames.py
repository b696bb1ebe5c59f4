# SPDX-License-Identifier: Apache-2.0
"""send_frames.py INTERFACE DESTINATION COUNT [VLAN|udp]: Ethernet frames of 64 bytes and more, the FCS included: of an
experimental type, with or without a tag, or UDP of a new flow each."""
import socket
import struct
import sys
import time


def udp(flow: int) -> bytes:
    """IPv4 and UDP without a UDP checksum, the IP checksum right."""
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 46, 0, 0, 64, 17, 0, bytes([10, 9, 0, 99]),
                       bytes([10, 9, 0, 11]))  # one pair of addresses: a key that is symmetric cancels what repeats
    total = sum(struct.unpack(">10H", head))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return head[:10] + struct.pack(">H", total ^ 0xffff) + head[12:] + struct.pack(">HHHH", 1024 + flow, 9, 26, 0) + bytes(18)


def main() -> None:
    interface, destination, count = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), int(sys.argv[3])
    kind = sys.argv[4] if len(sys.argv) > 4 else ""
    head = destination + bytes.fromhex("029900000001")
    tag = b"\x81\x00" + int(kind).to_bytes(2, "big") if kind.isdigit() else b""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((interface, 0))
    for i in range(count):
        raw.send(head + b"\x08\x00" + udp(i) if kind == "udp" else head + tag + b"\x88\xb5" + bytes(46))
        if i % 32 == 31:
            time.sleep(0.02)  # a guest without KVM is slow, and its ring holds a few hundred


main()
