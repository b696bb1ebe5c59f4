// SPDX-License-Identifier: Apache-2.0
// The L2 switch of the 82599: which pools get a frame, and which mirror rules fired. Pure functions of decoded filter
// tables and the frame's L2 key; no I/O, no state (architecture 5.2). Facts: reference 82599 sections 8 and 9.
#pragma once

#include <array>
#include <cstdint>

#include "softnic/frame.h"

namespace vigia::softnic {

using PoolMask = std::uint64_t;

struct MirrorRule {
  bool pool = false, uplink = false, downlink = false, vlan = false;  // PFMRCTL VPME, UPME, DPME, VLME
  std::uint8_t destination = 0;                                       // MP
  PoolMask sources = 0;                                               // PFMRVM
  std::uint64_t vlan_entries = 0;                                     // PFMRVLAN: bit k = PFVLVF entry k
  bool active() const { return pool || uplink || downlink || vlan; }
};

// The filter registers, decoded. Plain data: tests build it by hand, the device decodes it when a register changed.
// After editing fields by hand call index() once: it builds the look-ups that the selection uses.
struct FilterTables {
  struct Rar {
    bool valid = false;
    std::uint64_t mac = 0;
    PoolMask pools = 0;
  };
  struct Vlvf {
    bool valid = false;
    std::uint16_t vid = 0;
    PoolMask pools = 0;
  };

  // Stage A: L2 acceptance
  bool fctrl_upe = false, fctrl_mpe = false, fctrl_bam = false;
  bool vlan_filter = false;             // VLNCTRL.VFE
  bool cfi_check = false, cfi = false;  // VLNCTRL.CFIEN, CFI
  std::uint8_t multicast_offset = 0;    // MCSTCTRL.MO
  bool multicast_filter = false;        // MCSTCTRL.MFE
  std::uint32_t max_frame = 1518;       // MAXFRS.MFS: bytes with FCS; a VLAN tag adds 4
  std::array<std::uint32_t, 128> mta{}, vfta{}, uta{};
  std::array<Rar, 128> rar{};

  // Stage B: pools
  bool vt = false;           // PFVTCTL.VT_ENA; off: everything accepted goes to pool 0
  bool replication = false;  // PFVTCTL.RPL_EN
  std::uint8_t default_pool = 0;
  bool default_pool_disabled = false;
  PoolMask aupe = 0, rompe = 0, rope = 0, bam = 0, mpe = 0;  // PFVML2FLT bits, a pool per bit
  PoolMask receive_enable = 0, transmit_enable = 0;          // PFVFRE, PFVFTE
  std::array<Vlvf, 64> vlvf{};
  struct EtherType {
    bool enabled = false, to_pool = false;
    std::uint16_t ethertype = 0;
    std::uint8_t pool = 0;
  };
  std::array<EtherType, 8> etqf{};
  std::array<MirrorRule, 4> mirror{};

  // Transmit switching
  bool loopback = false;      // PFDTXGSWC.LBE
  PoolMask own_loopback = 0;  // PFVMTXSW.LLE
  PoolMask mac_antispoof = 0, vlan_antispoof = 0;
  std::array<std::uint32_t, 64> vmvir{};  // PFVMVIR

  void index();  // builds what follows from what precedes

  // Derived. A table that was never indexed has no address, no VLAN entry, no EtherType filter and no mirror rule.
  struct Exact {
    std::uint64_t mac = ~0ull;  // ~0: free slot
    PoolMask pools = 0;
  };
  struct Vlan {
    PoolMask pools = 0;
    std::uint64_t entries = 0;  // bit k: PFVLVF entry k names this VID
  };
  std::array<Exact, 512> exact{};             // open addressing by MAC; pools of equal RARs united
  std::array<Vlan, 65> vlan{};                // pools of PFVLVF entries with the same VID united; [0] is "no entry"
  std::array<std::uint8_t, 4096> vid_slot{};  // VID -> index in vlan
  std::array<EtherType, 8> pool_ethertype{};  // the first ethertype_filters: enabled filters that name a pool
  std::array<std::uint8_t, 4> rule_order{};   // the first active_rules: indexes of active mirror rules, ascending
  std::uint8_t ethertype_filters = 0, active_rules = 0;
};

enum class Verdict : std::uint8_t {
  accepted,     // pools may still be empty: no pool wanted it
  oversize,     // longer than MAXFRS
  undersize,    // shorter than 60 bytes without FCS
  l2_filter,    // no RAR, hash or promiscuous bit accepts the destination
  vlan_filter,  // VFTA does not have the VID, or CFI differs
  // local traffic only:
  mac_spoofed,
  vlan_spoofed,
  tag_refused,  // PFVMVIR forbids tagged frames of this VF
  transmit_disabled,
};

struct Selection {
  Verdict verdict = Verdict::accepted;
  PoolMask pools = 0;      // every pool that gets one copy
  PoolMask mirrored = 0;   // those of them that a mirror rule added
  std::uint8_t rules = 0;  // bit r: mirror rule r fired (even if its destination was in the list already)
  bool to_wire = false;    // local traffic only
  bool inexact = false;    // passed by a hash filter (descriptor status PIF)
};

// The longest frame that may be sent while transmit switching is on, with FCS: 9.5 KB (8.5).
constexpr std::uint32_t kMaxTransmitBytes = 9728;

// A frame from the network: stage A (8.1), stage B with replication (8.2) or without (8.3), mirroring (9).
// Where the reference leaves a choice: broadcast is a class of its own, which address and hash filters for multicast do
// not touch in stage A and ROMPE and MPE do not touch in stage B; PFUTA does not depend on MCSTCTRL.MFE; UPME does not
// ask for a non-empty list (82599); without replication the lowest pool of several stays and nothing is mirrored.
Selection select_from_network(const FilterTables& tables, const L2Key& frame);

// What PFVMVIR does with a frame as pool `sender` wrote it. Asked before select_from_pool.
enum class PortVlan : std::uint8_t {
  unchanged,
  insert,  // the caller puts the tag PFVMVIR[15:0] in front of the EtherType
  refuse,  // a tagged frame from a pool with a port VLAN, or from one that may not tag: Verdict::tag_refused
};
PortVlan port_vlan(const FilterTables& tables, const L2Key& frame, unsigned sender);

// A frame that pool `sender` (below 64) transmits: anti-spoof, port VLAN, local switching (8.5), mirroring. The frame
// is as it leaves the port: port_vlan() has been obeyed. With a port VLAN a frame without exactly that tag is refused.
// Without VT mode or with loopback off every frame goes to the wire and to nobody else.
Selection select_from_pool(const FilterTables& tables, const L2Key& frame, unsigned sender);

}  // namespace vigia::softnic
