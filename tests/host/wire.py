# SPDX-License-Identifier: Apache-2.0
"""The far end of the NIC's cable, on this side of the VM: frames in and out; and frames in a pcapng file."""
import socket
import struct
import time
from pathlib import Path

ETHERTYPE = 0x88B5  # for experiments: nobody else speaks it
SOURCE = "02:00:00:00:00:99"


def packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


class Wire:
    """Numbered frames, so that each can be found again."""

    def __init__(self, host):
        self.nic, self.number = str(host.folder / "wire.nic"), 0
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def send(self, to: str, count: int, rate: int = 500) -> range:
        """At that many a second, well below what an emulated NIC loses. Returns their numbers."""
        first = self.number
        for self.number in range(first, first + count):
            frame = packed(to) + packed(SOURCE) + struct.pack(">HI", ETHERTYPE, self.number) + bytes(46)
            self.socket.sendto(frame, self.nic)
            time.sleep(1 / rate)
        self.number += 1
        return range(first, first + count)


def frames_in(file: Path) -> list[bytes]:
    """Of enhanced packet blocks (pcapng, little endian), in their order."""
    data, at, out = file.read_bytes(), 0, []
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 6:
            size = struct.unpack_from("<I", data, at + 20)[0]
            out.append(data[at + 28:at + 28 + size])
        at += length
    return out


def numbers_in(file: Path) -> list[int]:
    """Those of our frames in a pcapng file."""
    head = packed(SOURCE) + struct.pack(">H", ETHERTYPE)
    return [struct.unpack_from(">I", frame, 14)[0] for frame in frames_in(file) if frame[6:14] == head]
