# SPDX-License-Identifier: Apache-2.0
"""vlan_host.py INTERFACE VLAN ADDRESS: a host of that VLAN that answers ARP and ping, where the kernel has no 8021q."""
import socket
import struct
import sys

SOL_PACKET, PACKET_AUXDATA = 263, 8  # linux/if_packet.h
TP_STATUS_VLAN_VALID = 1 << 4
MAC = bytes.fromhex("029900000002")


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data[:len(data) & ~1])) + (data[-1] << 8 if len(data) % 2 else 0)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def arp_reply(body: bytes, own: bytes) -> bytes:
    """To a request for our address; else nothing."""
    if len(body) < 28 or body[6:8] != b"\0\1" or body[24:28] != own:
        return b""
    return b"\x08\x06" + body[:6] + b"\0\2" + MAC + own + body[8:18]


def echo_reply(body: bytes, own: bytes) -> bytes:
    size = struct.unpack(">H", body[2:4])[0] if len(body) >= 28 else 0
    if size < 28 or body[0] != 0x45 or body[9] != 1 or body[16:20] != own or body[20] != 8:
        return b""
    head = body[:10] + b"\0\0" + own + body[12:16]
    echo = b"\0\0\0\0" + body[24:size]
    return (b"\x08\x00" + head[:10] + struct.pack(">H", checksum(head)) + head[12:] + echo[:2] +
            struct.pack(">H", checksum(echo)) + echo[4:])


def vlan_of(ancillary) -> int:
    """The kernel takes a received frame's tag out and tells it beside the frame."""
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tag, _ = struct.unpack("=IIIHHHH", data[:20])
            return tag & 0xfff if status & TP_STATUS_VLAN_VALID else 0
    return 0


def main() -> None:
    interface, vlan, own = sys.argv[1], int(sys.argv[2]), socket.inet_aton(sys.argv[3])
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.bind((interface, 3))
    raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    while True:
        frame, ancillary, _, sender = raw.recvmsg(65535, 64)
        if sender[2] == socket.PACKET_OUTGOING or vlan_of(ancillary) != vlan:
            continue
        answer = {b"\x08\x06": arp_reply, b"\x08\x00": echo_reply}.get(frame[12:14], lambda *_: b"")(frame[14:], own)
        if answer:
            raw.send((frame[6:12] + MAC + b"\x81\x00" + vlan.to_bytes(2, "big") + answer).ljust(60, b"\0"))


main()
