# SPDX-License-Identifier: Apache-2.0
"""A VLAN sub-interface for kernels without one: vlan_tap.py LOWER NAME VID makes a TAP called NAME; what is sent on it
leaves LOWER with an 802.1Q tag, what LOWER receives with that tag arrives on it. Runs until killed."""
import errno
import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
SOL_PACKET, PACKET_AUXDATA = 263, 8  # linux/if_packet.h
ETH_P_ALL, TP_STATUS_VLAN_VALID, PACKET_OUTGOING = 3, 1 << 4, 4


def tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def tag_of(ancillary):
    """The kernel takes the tag out of the frame and hands it over beside it (struct tpacket_auxdata)."""
    for level, kind, data in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci = struct.unpack("IIIHHH", data[:18])
            if status & TP_STATUS_VLAN_VALID:
                return tci & 0xFFF
    return None


def main(lower, name, vid):
    upper = tap(name)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.bind((lower, 0))
    tag = struct.pack("!HH", 0x8100, vid)
    while True:
        ready, _, _ = select.select([upper, wire], [], [])
        try:
            if upper in ready:
                frame = os.read(upper, 65536)
                wire.send(frame[:12] + tag + frame[12:])
            if wire in ready:
                frame, ancillary, _, sender = wire.recvmsg(65536, 256)
                if sender[2] != PACKET_OUTGOING and tag_of(ancillary) == vid:
                    os.write(upper, frame)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.ENETDOWN):  # either interface is not up yet: the frame is lost
                raise


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
