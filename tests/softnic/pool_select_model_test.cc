// SPDX-License-Identifier: Apache-2.0
// The selection against a slow one that walks the registers as the reference's tables are written, over random tables.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "softnic/pool_select.h"

namespace vigia::softnic {
namespace {

using Pools = std::set<unsigned>;

Pools members(PoolMask mask) {
  Pools out;
  for (unsigned p = 0; p < 64; ++p) {
    if (mask >> p & 1) out.insert(p);
  }
  return out;
}
Pools both(const Pools& a, PoolMask mask) {
  Pools out;
  for (const unsigned p : a) {
    if (mask >> p & 1) out.insert(p);
  }
  return out;
}
void add(Pools& list, PoolMask mask) { list.merge(members(mask)); }

bool table_bit(const std::array<std::uint32_t, 128>& table, unsigned i) { return (table[i / 32] >> (i % 32) & 1) != 0; }

// One frame through one set of tables, step by step.
class Model {
 public:
  Model(const FilterTables& t, const L2Key& f) : t_(t), f_(f) {
    broadcast_ = f.destination == 0xffffffffffff;
    multicast_ = (f.destination & 1) != 0 && !broadcast_;
    unicast_ = (f.destination & 1) == 0;
    for (const auto& r : t.rar) {
      if (!r.valid || r.mac != f.destination) continue;
      exact_ = true;
      add(exact_pools_, r.pools);
    }
    const auto b4 = static_cast<unsigned>(f.destination >> 32 & 0xff), b5 = static_cast<unsigned>(f.destination >> 40);
    const unsigned value[] = {(b4 >> 4) + (b5 << 4), (b4 >> 3) + (b5 << 5), (b4 >> 2) + (b5 << 6), b4 + (b5 << 8)};
    hash_ = value[t.multicast_offset] & 0xfff;
    unicast_hash_ = unicast_ && table_bit(t.uta, hash_);
    multicast_hash_ = multicast_ && t.multicast_filter && table_bit(t.mta, hash_);
  }

  Verdict accept() const {
    if (f_.length + 4 > t_.max_frame + (f_.tagged ? 4u : 0u)) return Verdict::oversize;
    if (f_.length < 60) return Verdict::undersize;
    bool pass = false;
    if (broadcast_) pass = t_.fctrl_bam || t_.fctrl_mpe;
    if (multicast_) pass = exact_ || multicast_hash_ || t_.fctrl_mpe;
    if (unicast_) pass = exact_ || unicast_hash_ || t_.fctrl_upe;
    if (!pass) return Verdict::l2_filter;
    if (!f_.tagged || !t_.vlan_filter) return Verdict::accepted;
    if (!table_bit(t_.vfta, f_.tci & 0xfffu)) return Verdict::vlan_filter;
    if (t_.cfi_check && ((f_.tci & 0x1000) != 0) != t_.cfi) return Verdict::vlan_filter;
    return Verdict::accepted;
  }

  Pools network() const {
    Pools list = both(exact_pools_, t_.receive_enable);
    if (t_.replication) {
      if (broadcast_) add(list, t_.bam);
      if (unicast_ && list.empty() && unicast_hash_) add(list, t_.rope);
      if (multicast_ && list.empty() && multicast_hash_) add(list, t_.rompe);
      if (multicast_) add(list, t_.mpe);
      list = vlan_step(list);
    } else {
      if (unicast_ && list.empty() && unicast_hash_) add(list, t_.rope);
      list = vlan_step(list);
      if (list.size() > 1) list = {*list.begin()};
    }
    if (list.empty() && !t_.default_pool_disabled) list = {t_.default_pool};
    for (const auto& e : t_.etqf) {
      if (e.enabled && e.to_pool && e.ethertype == f_.ethertype) {
        list = {e.pool};
        break;
      }
    }
    return both(list, t_.receive_enable);
  }

  Verdict check_sender(unsigned sender) const {
    const auto has = [&](PoolMask mask) { return (mask >> sender & 1) != 0; };
    if (!has(t_.transmit_enable)) return Verdict::transmit_disabled;
    if (f_.length + 4 > 9728) return Verdict::oversize;
    bool mac_own = false, vlan_own = false;
    for (const auto& r : t_.rar) mac_own = mac_own || (r.valid && r.mac == f_.source && has(r.pools));
    for (const auto& v : t_.vlvf) vlan_own = vlan_own || (v.valid && v.vid == (f_.tci & 0xfff) && has(v.pools));
    if (has(t_.mac_antispoof) && !mac_own) return Verdict::mac_spoofed;
    if (has(t_.mac_antispoof) && has(t_.vlan_antispoof) && f_.tagged && !vlan_own) return Verdict::vlan_spoofed;
    const unsigned vlana = t_.vmvir[sender] >> 30;
    if (vlana == 1 && (!f_.tagged || f_.tci != (t_.vmvir[sender] & 0xffff))) return Verdict::tag_refused;
    if (vlana == 2 && f_.tagged) return Verdict::tag_refused;
    return Verdict::accepted;
  }

  Pools local(unsigned sender) const {
    Pools list = both(exact_pools_, t_.receive_enable);
    if (broadcast_ && t_.replication) add(list, t_.bam);
    if (unicast_ && list.empty() && unicast_hash_) add(list, t_.rope);
    if (multicast_ && t_.replication && list.empty() && multicast_hash_) add(list, t_.rompe);
    if (multicast_ && t_.replication) add(list, t_.mpe);
    if ((t_.own_loopback >> sender & 1) == 0) list.erase(sender);
    list = vlan_step(list);
    if (!t_.replication && list.size() > 1) list = {*list.begin()};
    return both(list, t_.receive_enable);
  }

  bool leaves() const { return !unicast_ || both(exact_pools_, t_.receive_enable).empty(); }

  // Adds copies to list; returns the rules that fired.
  unsigned mirror(Pools& list, bool from_network, bool to_wire) const {
    if (!t_.replication) return 0;
    const Pools before = list;
    unsigned fired = 0;
    for (unsigned r = 0; r < 4; ++r) {
      const MirrorRule& rule = t_.mirror[r];
      bool fires = rule.pool && !both(before, rule.sources).empty();
      if (rule.uplink && from_network) fires = true;
      if (rule.downlink && to_wire) fires = true;
      for (unsigned k = 0; k < 64; ++k) {
        const auto& v = t_.vlvf[k];
        if (rule.vlan && f_.tagged && v.valid && v.vid == (f_.tci & 0xfff) && (rule.vlan_entries >> k & 1) != 0)
          fires = true;
      }
      if (!fires) continue;
      fired |= 1u << r;
      list.insert(rule.destination);
    }
    list = both(list, t_.receive_enable);
    return fired;
  }

 private:
  Pools vlan_step(const Pools& list) const {
    if (!t_.vlan_filter) return list;
    if (!f_.tagged) return both(list, t_.aupe);
    PoolMask keep = 0;
    for (const auto& v : t_.vlvf) {
      if (v.valid && v.vid == (f_.tci & 0xfff)) keep |= v.pools;
    }
    return both(list, keep);
  }

  const FilterTables& t_;
  const L2Key& f_;
  bool broadcast_, multicast_, unicast_, exact_ = false, unicast_hash_, multicast_hash_;
  unsigned hash_;
  Pools exact_pools_;
};

// Few addresses, VIDs and EtherTypes, so that frames hit; masks from empty to full.
class Dice {
 public:
  explicit Dice(unsigned seed) : random_(seed) {}
  bool one_in(unsigned n) { return random_() % n == 0; }
  unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
  PoolMask mask() {
    switch (below(5)) {
      case 0:
        return 0;
      case 1:
        return ~PoolMask{0};
      case 2:
        return random_();
      case 3:
        return random_() & random_() & random_();
      default:
        return PoolMask{1} << below(64);
    }
  }
  std::uint64_t address() {
    if (one_in(8)) return 0xffffffffffff;
    return std::uint64_t{below(6)} << 40 | std::uint64_t{below(2)} << 37 | 0x02 | below(2);
  }
  std::uint16_t vid() { return static_cast<std::uint16_t>(one_in(6) ? 4095 : below(4)); }
  std::uint16_t tci() { return static_cast<std::uint16_t>(vid() | below(16) << 12); }
  std::uint16_t ethertype() { return one_in(2) ? 0x0800 : 0x88f7; }

 private:
  std::mt19937_64 random_;
};

FilterTables random_tables(Dice& d) {
  FilterTables t;
  t.fctrl_upe = d.one_in(2), t.fctrl_mpe = d.one_in(2), t.fctrl_bam = d.one_in(2);
  t.vlan_filter = d.one_in(2), t.cfi_check = d.one_in(4), t.cfi = d.one_in(2);
  t.multicast_offset = static_cast<std::uint8_t>(d.below(4)), t.multicast_filter = d.one_in(2);
  t.vt = !d.one_in(8), t.replication = !d.one_in(4);
  t.default_pool = static_cast<std::uint8_t>(d.below(64)), t.default_pool_disabled = d.one_in(2);
  for (auto* words : {&t.mta, &t.uta, &t.vfta}) {
    for (auto& w : *words) w = static_cast<std::uint32_t>(d.mask());
  }
  for (auto& r : t.rar) r = {d.one_in(8), d.address(), d.mask()};
  for (auto& v : t.vlvf) v = {d.one_in(8), d.vid(), d.mask()};
  for (auto& e : t.etqf) e = {d.one_in(4), d.one_in(2), d.ethertype(), static_cast<std::uint8_t>(d.below(64))};
  for (auto& m : t.mirror) {
    m = {d.one_in(4), d.one_in(6), d.one_in(4), d.one_in(4), static_cast<std::uint8_t>(d.below(64)),
         d.mask(),    d.mask()};
  }
  for (auto* m : {&t.aupe, &t.rompe, &t.rope, &t.bam, &t.mpe, &t.receive_enable, &t.transmit_enable, &t.own_loopback,
                  &t.mac_antispoof, &t.vlan_antispoof}) {
    *m = d.mask();
  }
  t.loopback = !d.one_in(6);
  for (auto& v : t.vmvir) v = d.one_in(3) ? d.below(4) << 30 | d.tci() : 0;
  t.index();
  return t;
}

L2Key random_frame(Dice& d) {
  L2Key f;
  f.destination = d.address();
  f.source = d.address() & ~1ull;
  f.ethertype = d.ethertype();
  f.tagged = d.one_in(2);
  if (f.tagged) f.tci = d.tci();
  const std::uint32_t lengths[] = {0, 59, 60, 64, 1514, 1515, 1518, 1519, 9724, 9725};
  f.length = d.one_in(4) ? lengths[d.below(10)] : 60 + d.below(1400);
  return f;
}

void compare_network(const FilterTables& t, const L2Key& f) {
  const Model model(t, f);
  const Selection s = select_from_network(t, f);
  ASSERT_EQ(s.verdict, model.accept());
  if (s.verdict != Verdict::accepted || !t.vt) {
    ASSERT_EQ(s.pools, s.verdict == Verdict::accepted ? 1u : 0u);
    ASSERT_EQ(s.rules, 0u);
    return;
  }
  const Pools before = model.network();
  Pools list = before;
  const unsigned fired = model.mirror(list, true, false);
  ASSERT_EQ(members(s.pools), list);
  ASSERT_EQ(s.rules, fired);
  for (const unsigned p : before) list.erase(p);
  ASSERT_EQ(members(s.mirrored), list);
}

void compare_local(const FilterTables& t, const L2Key& f, unsigned sender) {
  const Model model(t, f);
  const Selection s = select_from_pool(t, f, sender);
  const Verdict verdict = t.vt ? model.check_sender(sender) : Verdict::accepted;
  ASSERT_EQ(s.verdict, verdict);
  if (verdict != Verdict::accepted || !t.vt || !t.loopback) {
    ASSERT_EQ(s.pools, 0u);
    ASSERT_EQ(s.to_wire, verdict == Verdict::accepted);
    return;
  }
  ASSERT_EQ(s.to_wire, model.leaves());
  const Pools before = model.local(sender);
  Pools list = before;
  const unsigned fired = model.mirror(list, false, s.to_wire);
  ASSERT_EQ(members(s.pools), list);
  ASSERT_EQ(s.rules, fired);
  for (const unsigned p : before) list.erase(p);
  ASSERT_EQ(members(s.mirrored), list);
}

TEST(PoolSelectModel, AgreesOnRandomTables) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    Dice dice(seed);
    const FilterTables t = random_tables(dice);
    for (unsigned n = 0; n < 150; ++n) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << " frame " << n);
      const L2Key f = random_frame(dice);
      compare_network(t, f);
      compare_local(t, f, dice.below(64));
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace vigia::softnic
