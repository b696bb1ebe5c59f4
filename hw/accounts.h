// SPDX-License-Identifier: Apache-2.0
// The names of the ledger's accounts (architecture 5.6) and the sentence for the operator. Written by softnic and by
// vigia-capture into their counter files, read by the ledger: one table, so that both mean the same.
// Unless a name says otherwise an account counts frames (or copies of frames).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vigia::hw::accounts {

struct Account {
  std::string_view name, meaning;
};

// softnic, whole port
inline constexpr std::array kPort{
    Account{"wire.sent", "Frames that the wire put on the port."},
    Account{"wire.sent_bytes", "Bytes of those frames, without FCS, after padding."},
    Account{"wire.padded", "Of those, frames shorter than 60 bytes that were zero-padded."},
    Account{"wire.zero_filled", "Of those, frames that the capture held only in part; the rest is zeros."},
    Account{"wire.held_ns", "Nanoseconds the wire waited for receivers (rate max only)."},
    Account{"wire.done", "1 when the wire has sent its last frame and every frame of it has been switched."},
    Account{"wire.accepted", "Frames that passed the L2 filters."},
    Account{"wire.filtered_l2", "Dropped: no address, hash or promiscuous filter accepts the destination."},
    Account{"wire.filtered_vlan", "Dropped: the VLAN is not in the port's VLAN filter."},
    Account{"wire.filtered_oversize", "Dropped: longer than the port's maximum frame (MAXFRS)."},
    Account{"wire.filtered_disabled", "Dropped: the receiver was off (PF down, in reset or dead)."},
    Account{"wire.missed",
            "Dropped: packet buffer full (a queue without drop-enable blocks it, or the PCIe budget does)."},
    Account{"buffer.left", "Accepted frames that were still in the packet buffer at the end."},
    Account{"switch.routed", "Accepted wire frames that got at least one pool."},
    Account{"switch.no_pool", "Accepted wire frames that no pool wanted."},
    Account{"switch.copies", "Copies made for pools, of wire and local frames, mirror copies included."},
    Account{"switch.mirror_copies", "Of those, copies that a mirror rule added."},
    Account{"tx.sent", "Frames that functions transmitted."},
    Account{"tx.wire_only", "Of those: left by the port only."},
    Account{"tx.local_only", "Of those: delivered to local pools only."},
    Account{"tx.wire_and_local", "Of those: left by the port and were delivered locally (broadcast, multicast)."},
    Account{"tx.nowhere", "Of those: neither (switched locally, no pool took it)."},
    Account{"tx.wire_refused",
            "Of those that left by the port: the other end of a live wire did not take them (interface down, gone or "
            "with too small an MTU, no memory)."},
    Account{"tx.spoofed", "Dropped: source MAC or VLAN is not the sender's."},
    Account{"tx.refused", "Dropped: transmit disabled for the pool, tagged frame from a port-VLAN VF, or too long."},
    Account{"tx.malformed", "Dropped: descriptors that made no frame."},
};

// softnic, per function: "vf3." or "pf." before the name
inline constexpr std::array kPool{
    Account{"copies", "Copies that the switch made for this pool."},
    Account{"mirror_copies", "Of those, copies that a mirror rule added."},
    Account{"written", "Copies written into the function's memory."},
    Account{"written_bytes", "Bytes of those, without FCS."},
    Account{"no_descriptor",
            "Dropped: receive ring empty and drop-enable on. The reader is too slow or its ring too small."},
    Account{"queue_disabled", "Dropped: the pool's queue was off (driver not started, stopped, or its process died)."},
    Account{"dma_fault", "Dropped: a descriptor pointed outside the function's DMA memory."},
    Account{"tx_sent", "Frames this function transmitted."},
    Account{"tx_dropped", "Of those, dropped as spoofed, refused or malformed."},
};

// vigia-capture. With several engines each has these under a name of its own, "engine@1.taken"; readers of a counter
// file find the sum under the plain name.
inline constexpr std::array kEngine{
    Account{"engine.taken", "Frames taken from the receive ring."},
    Account{"engine.taken_bytes", "Bytes of those."},
    Account{
        "engine.damaged",
        "Of those: marked bad by the device (CRC, length), or longer than a port takes and cut. Kept as they came."},
    Account{"engine.left_in_ring", "Frames written by the device that nobody had taken when the engine stopped."},
    Account{"engine.duplicate", "Left out on wish: duplicate of a recent frame."},
    Account{"engine.shed", "Dropped: by forwarding rule."},
    Account{"engine.ring_full", "Dropped: a lossless listener was a full ring behind."},
    Account{"engine.appended", "Frames appended to the capture ring."},
    Account{"engine.marked", "Of those: duplicates of recent frames, kept with a mark on wish."},
    Account{"store.read", "Frames the store read from the capture ring."},
    Account{"store.lapped", "Frames the store lost because it was lapped."},
    Account{"store.unread", "Frames in the capture ring that the store had not read when it stopped."},
    Account{"store.stored", "Frames handed to the file."},
    Account{"store.stored_bytes", "Captured bytes of those."},
    Account{"store.disk_dropped", "Dropped: the disk refused them (full, error)."},
};

// vigia-capture, beside them where the port can tell: absent, not 0, where it cannot.
inline constexpr std::string_view kPortOffered = "port.offered", kPortDropped = "port.dropped",
                                  kPortStopped = "port.stopped_accesses";
inline constexpr std::array kReceivePort{
    Account{kPortOffered, "Frames that the port saw, whether it had room for them or not."},
    Account{kPortDropped,
            "Dropped before the engine: the port had no room. The reader is too slow or its ring too small."},
    Account{
        kPortStopped,
        "Not frames: accesses of the device to memory that the IOMMU stopped, as many as the kernel's log tells of. "
        "Driver or device is broken; frames since then may hold bytes of others or be missing."},
};

// vigia-capture, beside them where it was told of the mirrors (--mirror-rules): absent, not 0, where it was not. With
// several engines each has its own, like kEngine.
inline constexpr std::array kCopies{
    Account{"engine.copy_predicted", "Of the duplicates: copies that the mirrors make of one frame."},
    Account{"engine.copy_unpredicted", "Of the duplicates: more than the mirrors make."},
    Account{"engine.copy_missing", "Not captured: copies that the mirrors make and that did not come in time."},
    Account{"engine.copy_open",
            "Copies that might still have come when their frame was forgotten or the capture ended."},
};

// Whether what came and what the mirrors make agree, in a sentence without its period. Numbers of kCopies, in order.
std::string copies_sentence(std::string_view who, std::uint64_t predicted, std::uint64_t unpredicted,
                            std::uint64_t missing, std::uint64_t open);

// Every counter name of a softnic with that many VFs.
std::vector<std::string> softnic_names(unsigned vfs);
// With several engines (or stores) one set of names for each.
std::vector<std::string> capture_names(unsigned engines = 1, unsigned stores = 1);
// "engine.taken" of engine 1 of several is "engine@1.taken"; of the only one it stays as it is.
std::string of_lane(std::string_view account, std::optional<unsigned> lane);
// The sentence for "vf3.written", "engine.taken" or "engine@1.taken"; empty for an unknown name.
std::string_view meaning_of(std::string_view name);

}  // namespace vigia::hw::accounts
