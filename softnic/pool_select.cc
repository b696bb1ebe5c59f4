// SPDX-License-Identifier: Apache-2.0
// Step numbers are those of the tables in the reference, 8.2 and 8.5.
#include "softnic/pool_select.h"

#include "hw/ixgbe/bits.h"
#include "hw/result.h"

namespace vigia::softnic {
namespace {

constexpr std::uint32_t kTagBytes = 4;

constexpr PoolMask bit(unsigned pool) { return PoolMask{1} << (pool & 63); }

// Multiplicative hashing (Fibonacci): MACs of one vendor differ in the high bytes only, which the product spreads.
constexpr std::size_t slot_of(std::uint64_t mac) {
  return static_cast<std::size_t>((mac * 0x9E3779B97F4A7C15ull) >> 55);
}

const FilterTables::Exact* find_exact(const FilterTables& t, std::uint64_t mac) {
  // At most 128 of the 512 slots are taken, so a free one ends every search.
  for (std::size_t i = slot_of(mac);; i = (i + 1) % t.exact.size()) {
    const FilterTables::Exact& slot = t.exact[i];
    if (slot.mac == mac) return &slot;
    if (slot.mac == ~0ull) return nullptr;
  }
}

// The 12-bit hash of MTA and PFUTA: address bits 47:36, 46:35, 45:34 or 43:32 by MCSTCTRL.MO.
bool hash_hit(const std::array<std::uint32_t, 128>& table, std::uint64_t mac, unsigned offset) {
  constexpr std::array<std::uint8_t, 4> shift{36, 35, 34, 32};
  const auto value = static_cast<std::uint32_t>(mac >> shift[offset & 3]) & 0xfff;
  return (table[value >> 5] >> (value & 31) & 1) != 0;
}

// What the address filters say about a destination.
struct Destination {
  bool unicast, broadcast;
  bool exact;      // a valid RAR holds it
  bool hashed;     // its hash table has it; looked up only if no exact pool is left
  PoolMask pools;  // step 1 and the receive-enable step after it
};

Destination look_up(const FilterTables& t, const L2Key& frame) {
  Destination d{!frame.multicast(), frame.broadcast(), false, false, 0};
  if (const auto* match = find_exact(t, frame.destination)) {
    d.exact = true;
    d.pools = match->pools & t.receive_enable;
  }
  if (d.pools == 0 && !d.broadcast) {
    d.hashed = d.unicast ? hash_hit(t.uta, frame.destination, t.multicast_offset)
                         : t.multicast_filter && hash_hit(t.mta, frame.destination, t.multicast_offset);
  }
  return d;
}

Verdict accept(const FilterTables& t, const L2Key& frame, const Destination& d) {
  if (frame.length + kFcsBytes > t.max_frame + (frame.tagged ? kTagBytes : 0)) return Verdict::oversize;
  if (frame.length < kMinFrameBytes) return Verdict::undersize;
  const bool pass =
      d.broadcast ? t.fctrl_bam || t.fctrl_mpe : d.exact || d.hashed || (d.unicast ? t.fctrl_upe : t.fctrl_mpe);
  if (!pass) return Verdict::l2_filter;
  if (frame.tagged && t.vlan_filter) {
    const unsigned vid = frame.vid();
    if ((t.vfta[vid >> 5] >> (vid & 31) & 1) == 0) return Verdict::vlan_filter;
    if (t.cfi_check && ((frame.tci >> 12 & 1) != 0) != t.cfi) return Verdict::vlan_filter;
  }
  return Verdict::accepted;
}

const FilterTables::Vlan& vlan_of(const FilterTables& t, const L2Key& frame) {
  return t.vlan[frame.tagged ? t.vid_slot[frame.vid()] : 0];
}

// Steps 3 to 6 of 8.2, 4 to 8 of 8.5: what broadcast, hash and promiscuous bits add. Without replication the unicast
// hash is all there is.
PoolMask add_by_class(const FilterTables& t, const Destination& d, PoolMask list) {
  if (d.unicast) return list == 0 && d.hashed ? t.rope : list;
  if (!t.replication) return list;
  if (d.broadcast) return list | t.bam;
  if (list == 0 && d.hashed) list = t.rompe;
  return list | t.mpe;
}

// Step 8 of 8.2, 10 of 8.5. Without replication one pool stays at most.
PoolMask narrow(const FilterTables& t, const L2Key& frame, PoolMask list) {
  if (t.vlan_filter) list &= frame.tagged ? vlan_of(t, frame).pools : t.aupe;
  return t.replication ? list : list & (~list + 1);
}

PoolMask ethertype_step(const FilterTables& t, const L2Key& frame, PoolMask list) {
  for (unsigned i = 0; i < t.ethertype_filters; ++i) {
    if (t.pool_ethertype[i].ethertype == frame.ethertype) return bit(t.pool_ethertype[i].pool);
  }
  return list;
}

// Section 9. Rules see the list as it was before any of them; the last receive-enable step follows.
void mirror(const FilterTables& t, const L2Key& frame, bool from_network, Selection& s) {
  if (t.active_rules == 0 || !t.replication) return;
  const PoolMask before = s.pools;
  const std::uint64_t entries = vlan_of(t, frame).entries;
  PoolMask added = 0;
  for (unsigned i = 0; i < t.active_rules; ++i) {
    const unsigned r = t.rule_order[i];
    const MirrorRule& rule = t.mirror[r];
    if ((rule.pool && (before & rule.sources) != 0) || (rule.uplink && from_network) || (rule.downlink && s.to_wire) ||
        (rule.vlan && (entries & rule.vlan_entries) != 0)) {
      added |= bit(rule.destination);
      s.rules = static_cast<std::uint8_t>(s.rules | 1u << r);
    }
  }
  s.mirrored = added & ~before & t.receive_enable;
  s.pools |= s.mirrored;
}

Verdict check_sender(const FilterTables& t, const L2Key& frame, unsigned sender) {
  using namespace hw::ixgbe;
  const PoolMask own = bit(sender);
  if ((t.transmit_enable & own) == 0) return Verdict::transmit_disabled;
  if (frame.length + kFcsBytes > kMaxTransmitBytes) return Verdict::oversize;
  if ((t.mac_antispoof & own) != 0) {
    const auto* match = find_exact(t, frame.source);
    if (match == nullptr || (match->pools & own) == 0) return Verdict::mac_spoofed;
    // VLANAS works only together with MACAS (register PFVFSPOOF).
    if ((t.vlan_antispoof & own) != 0 && frame.tagged && (vlan_of(t, frame).pools & own) == 0) {
      return Verdict::vlan_spoofed;
    }
  }
  const std::uint32_t vmvir = t.vmvir[sender], mode = vmvir & Vmvir::vlana_mask;
  const bool as_port_vlan = frame.tagged && frame.tci == (vmvir & 0xffff);
  if (mode == Vmvir::vlana_default ? !as_port_vlan : mode == Vmvir::vlana_never && frame.tagged) {
    return Verdict::tag_refused;
  }
  return Verdict::accepted;
}

}  // namespace

void FilterTables::index() {
  exact.fill({});
  for (const Rar& r : rar) {
    if (!r.valid) continue;
    std::size_t i = slot_of(r.mac);
    while (exact[i].mac != ~0ull && exact[i].mac != r.mac) i = (i + 1) % exact.size();
    exact[i].mac = r.mac;
    exact[i].pools |= r.pools;
  }
  vlan.fill({});
  vid_slot.fill(0);
  std::uint8_t slots = 0;
  for (unsigned k = 0; k < vlvf.size(); ++k) {
    if (!vlvf[k].valid) continue;
    std::uint8_t& slot = vid_slot[vlvf[k].vid & 0xfff];
    if (slot == 0) slot = ++slots;
    vlan[slot].pools |= vlvf[k].pools;
    vlan[slot].entries |= bit(k);
  }
  ethertype_filters = 0;
  for (const EtherType& e : etqf) {
    if (e.enabled && e.to_pool) pool_ethertype[ethertype_filters++] = e;
  }
  active_rules = 0;
  for (std::size_t r = 0; r < mirror.size(); ++r) {
    if (mirror[r].active()) rule_order[active_rules++] = static_cast<std::uint8_t>(r);
  }
}

Selection select_from_network(const FilterTables& t, const L2Key& frame) {
  Selection s;
  const Destination d = look_up(t, frame);
  s.verdict = accept(t, frame, d);
  if (s.verdict != Verdict::accepted) return s;
  s.inexact = !d.exact && d.hashed;
  if (!t.vt) {
    s.pools = 1;
    return s;
  }
  PoolMask list = narrow(t, frame, add_by_class(t, d, d.pools));          // 1 to 8
  if (list == 0 && !t.default_pool_disabled) list = bit(t.default_pool);  // 9
  s.pools = ethertype_step(t, frame, list) & t.receive_enable;            // 10, 12
  mirror(t, frame, true, s);                                              // 13, 14
  return s;
}

PortVlan port_vlan(const FilterTables& t, const L2Key& frame, unsigned sender) {
  check(sender < t.vmvir.size());
  const std::uint32_t mode = t.vmvir[sender] & hw::ixgbe::Vmvir::vlana_mask;
  if (mode != hw::ixgbe::Vmvir::vlana_default && mode != hw::ixgbe::Vmvir::vlana_never) return PortVlan::unchanged;
  if (frame.tagged) return PortVlan::refuse;
  return mode == hw::ixgbe::Vmvir::vlana_default ? PortVlan::insert : PortVlan::unchanged;
}

Selection select_from_pool(const FilterTables& t, const L2Key& frame, unsigned sender) {
  check(sender < t.vmvir.size());
  Selection s;
  if (!t.vt) {
    s.to_wire = true;
    return s;
  }
  s.verdict = check_sender(t, frame, sender);  // 0, 0b
  if (s.verdict != Verdict::accepted) return s;
  if (!t.loopback) {
    s.to_wire = true;
    return s;
  }
  const Destination d = look_up(t, frame);
  PoolMask list = add_by_class(t, d, d.pools);  // 1 to 8
  list &= ~(bit(sender) & ~t.own_loopback);     // 9
  list = narrow(t, frame, list);                // 10
  s.to_wire = !d.unicast || d.pools == 0;       // 11
  s.inexact = !d.exact && d.hashed && list != 0;
  s.pools = list & t.receive_enable;  // 12
  mirror(t, frame, false, s);         // 13, 14
  return s;
}

}  // namespace vigia::softnic
