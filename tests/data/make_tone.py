# SPDX-License-Identifier: Apache-2.0
"""Writes four seconds of a two-tone signal as G.711 A-law, 8000 samples a second: what the demo's telephone call says."""
import math
import sys


def a_law(sample):
    """ITU-T G.711, table 1a: sign, 3-bit segment, 4-bit step; even bits inverted. sample is 13 bits, signed."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = min(abs(sample) if sample >= 0 else -sample - 1, 4095)
    segment = max(magnitude.bit_length() - 5, 0)
    step = (magnitude >> max(segment, 1)) & 0x0F
    return (sign | segment << 4 | step) ^ 0x55


with open(sys.argv[1], "wb") as out:
    for n in range(4 * 8000):
        t = n / 8000
        out.write(bytes([a_law(int(1500 * (math.sin(2 * math.pi * 440 * t) + math.sin(2 * math.pi * 620 * t)) / 2))]))
