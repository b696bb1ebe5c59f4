# SPDX-License-Identifier: Apache-2.0
"""The accounts of a softnic, read from its counter file (hw/counter_file.h), and whether they balance."""
import struct
from pathlib import Path


def read(path: Path) -> dict[str, int]:
    data = path.read_bytes()
    magic, version, count = struct.unpack_from("<8sII", data)
    assert magic == b"VIGIACNT" and version == 1, f"{path}: no counter file"
    entries = (struct.unpack_from("<56sQ", data, 64 + 64 * i) for i in range(count))
    return {name.rstrip(b"\0").decode(): value for name, value in entries}


def imbalance(c: dict[str, int]) -> list[str]:
    """The lines of the ledger (stages 1, 2, 3 and 8) that do not hold, in words. Only right while nothing moves."""
    pools = sorted({name.split(".")[0] for name in c if name.endswith(".copies")} - {"switch"})

    def sums(*names: str) -> int:
        return sum(c[name] for name in names)

    lines = [
        ("wire.sent", c["wire.sent"],
         sums("wire.accepted", "wire.filtered_l2", "wire.filtered_vlan", "wire.filtered_oversize",
              "wire.filtered_disabled", "wire.missed")),
        ("wire.accepted", c["wire.accepted"], sums("switch.routed", "switch.no_pool", "buffer.left")),
        ("switch.copies", c["switch.copies"], sum(c[p + ".copies"] for p in pools)),
        ("tx.sent", c["tx.sent"],
         sums("tx.wire_only", "tx.local_only", "tx.wire_and_local", "tx.nowhere", "tx.spoofed", "tx.refused",
              "tx.malformed")),
        ("tx.sent of functions", c["tx.sent"], sum(c[p + ".tx_sent"] for p in pools)),
    ]
    for p in pools:
        lines.append((p + ".copies", c[p + ".copies"],
                      sums(p + ".written", p + ".no_descriptor", p + ".queue_disabled", p + ".dma_fault")))
    return [f"{name} {left} is not {right}" for name, left, right in lines if left != right]
