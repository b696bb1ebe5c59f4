# SPDX-License-Identifier: Apache-2.0
"""The far end of a NIC's cable, on this side of the VM: frames in and out; and frames in a file."""
import random
import re
import socket
import struct
import subprocess
import time
from pathlib import Path

from host import Failed

ETHERTYPE = 0x88B5  # for experiments: nobody else speaks it
SOURCE = "02:00:00:00:00:99"
DESTINATIONS = ["02:00:00:00:00:01", "01:00:5e:00:00:fb", "ff:ff:ff:ff:ff:ff", "06:12:34:56:78:9a"]


def packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


class Wire:
    """Numbered frames, so that each can be found again."""
    RATE = 500  # frames a second, well below what an emulated NIC loses

    def __init__(self, host, cable: str = "wire"):
        self.nic, self.number = str(host.folder / f"{cable}.nic"), 0
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(120)

    def send(self, to: str, count: int, rate: int = RATE) -> range:
        """At that many a second. Returns their numbers."""
        first = self.number
        for self.number in range(first, first + count):
            self.put(packed(to) + packed(SOURCE) + struct.pack(">HI", ETHERTYPE, self.number) + bytes(46))
            time.sleep(1 / rate)
        self.number += 1
        return range(first, first + count)

    def send_every_kind(self, count: int, longest: int, rate: int = 0) -> list[bytes]:
        """Frames to one address, groups, all and strangers, tagged ones too, of 60 to longest bytes, in which every byte
        tells; rate 0: as fast as the NIC takes them. Returns them."""
        sent = []
        for self.number in range(self.number, self.number + count):
            head = packed(DESTINATIONS[self.number % len(DESTINATIONS)]) + packed(SOURCE)
            head += b"\x81\x00\x00\x05" if self.number % 3 == 0 else b""
            head += struct.pack(">HI", ETHERTYPE, self.number)
            size = 60 + self.number * 977 % (longest - 59)
            sent.append(head + random.Random(self.number).randbytes(size - len(head)))
            self.put(sent[-1])
            if rate:
                time.sleep(1 / rate)
        self.number += 1
        return sent

    def put(self, frame: bytes) -> None:
        try:
            self.socket.sendto(frame, self.nic)
        except TimeoutError:
            raise Failed(f"{self.nic}: frame {self.number} is not taken") from None


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


def as_tcpdump_shows(file: Path) -> list[bytes]:
    """Every frame of a capture file, read by other people's program."""
    done = subprocess.run(["tcpdump", "-nn", "-t", "-xx", "-r", str(file)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"tcpdump -r {file}: {done.stderr}")
    frames = []
    for offset, line in re.findall(r"^\t(0x[0-9a-f]+):  (.*)$", done.stdout, re.MULTILINE):
        if offset == "0x0000":
            frames.append("")
        frames[-1] += line
    return [bytes.fromhex(frame) for frame in frames]
