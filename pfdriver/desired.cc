// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/desired.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "hw/ixgbe/bits.h"

namespace vigia::pf {
namespace {

namespace ixgbe = hw::ixgbe;
using ixgbe::u32;

class Builder {
 public:
  Builder(const Capabilities& nic, const PfConfig& config, std::span<const VfState> states, const TapPlan& taps,
          const Image& current)
      : nic_(nic), config_(config), states_(states.begin(), states.end()), taps_(taps), current_(current) {
    states_.resize(config.vfs);
  }

  Desired build() {
    port();
    addresses();
    vlans();
    pools();
    multicast();
    queues();
    enables();
    mirrors();
    return std::move(out_);
  }

 private:
  u32& at(Field field, u32 index = 0) { return out_.image.at(field, index); }

  void port() {
    u32 frame = config_.mtu + kFrameOverhead;
    bool all_multicast = taps_.port_receive;
    for (const VfState& state : states_) {
      frame = std::max(frame, state.max_frame);
      all_multicast |= state.all_multicast;
    }
    at(Field::maxfrs) = frame << 16;
    at(Field::hlreg0) = frame > kOrdinaryFrame ? ixgbe::Hlreg0::jumboen : 0;
    at(Field::gswc) = config_.loopback ? ixgbe::Pfdtxgswc::lbe : 0;
    at(Field::fctrl) =
        ixgbe::Fctrl::bam | (all_multicast ? ixgbe::Fctrl::mpe : 0) | (taps_.port_receive ? ixgbe::Fctrl::upe : 0);
    at(Field::vlnctrl) = config_.filters_vlans() ? ixgbe::Vlnctrl::vfe : 0;

    const bool to_pf = config_.default_pool == DefaultPool::pf;
    const u32 default_pool = taps_.default_pool.value_or(pf_pool(config_));
    at(Field::vtctl) = ixgbe::Pfvtctl::vt_ena | ixgbe::Pfvtctl::rpl_en | default_pool << ixgbe::Pfvtctl::def_pl_shift |
                       (to_pf || taps_.default_pool ? 0 : ixgbe::Pfvtctl::dis_def_pool);
  }

  void address(u32 slot, const hw::Mac& mac, unsigned pool) {
    const std::uint64_t packed = mac.packed();
    // Two addresses that are equal would unite their pools: a unicast frame would reach both (82599 reference 8.2).
    if (!used_.insert(packed).second) {
      out_.misfits.push_back(
          fmt::format("{}: {} is in use by another function; choose another, or reset the VF that "
                      "took it",
                      config_.vf[pool].title(), mac.text()));
    }
    at(Field::ral, slot) = static_cast<u32>(packed);
    at(Field::rah, slot) = static_cast<u32>(packed >> 32) | ixgbe::Rah::av;
    out_.image.set_bit(Field::mpsar, 2 * slot, 1, pool);
  }

  void addresses() {
    // The PF's own address comes from the EEPROM; bring-up left it in place.
    at(Field::ral, 0) = current_.at(Field::ral, 0);
    at(Field::rah, 0) = current_.at(Field::rah, 0);
    out_.image.set_bit(Field::mpsar, 0, 1, pf_pool(config_));
    if ((at(Field::rah, 0) & ixgbe::Rah::av) != 0) {
      used_.insert(std::uint64_t{at(Field::rah, 0) & 0xffff} << 32 | at(Field::ral, 0));
    }
    u32 extra = 1;
    for (unsigned v = 0; v < config_.vfs; ++v) {
      if (const auto mac = mac_in_force(config_.vf[v], states_[v])) address(address_of_vf(nic_, v), *mac, v);
      for (const hw::Mac& mac : states_[v].extra_macs) {
        if (extra >= nic_.addresses - config_.vfs) {
          out_.misfits.push_back(fmt::format("{}: no receive address left for {}", config_.vf[v].title(), mac.text()));
        } else {
          address(extra++, mac, v);
        }
      }
    }
  }

  // VLANs with their member pools, each in the entry that it has today, else in the first free one.
  void vlans() {
    std::map<std::uint16_t, std::uint64_t> members;
    for (unsigned v = 0; v < config_.vfs; ++v) {
      if (config_.vf[v].vlan) members[*config_.vf[v].vlan] |= std::uint64_t{1} << v;
      for (const std::uint16_t vid : states_[v].vlans) members[vid] |= std::uint64_t{1} << v;
    }
    for (u32 k = 0; k < nic_.pool_vlans; ++k) {
      const u32 entry = current_.at(Field::vlvf, k);
      const auto vid = static_cast<std::uint16_t>(entry & ixgbe::Vlvf::vid_mask);
      if ((entry & ixgbe::Vlvf::vi_en) != 0 && members.count(vid) != 0) entries_.emplace(vid, k);
    }
    std::uint64_t used = 0;
    for (const auto& entry : entries_) used |= std::uint64_t{1} << entry.second;
    u32 free = 0;
    for (const auto& [vid, pools] : members) {
      if (entries_.count(vid) == 0) {
        while (free < nic_.pool_vlans && (used >> free & 1) != 0) ++free;
        if (free == nic_.pool_vlans) {
          out_.misfits.push_back(fmt::format("VLAN {}: all {} pool VLAN filters are in use", vid, nic_.pool_vlans));
          continue;
        }
        entries_.emplace(vid, free++);
      }
      const u32 k = entries_.at(vid);
      at(Field::vlvf, k) = ixgbe::Vlvf::vi_en | vid;
      at(Field::vlvfb, 2 * k) = static_cast<u32>(pools);
      at(Field::vlvfb, 2 * k + 1) = static_cast<u32>(pools >> 32);
      out_.image.set_bit(Field::vfta, 0, 1, vid);
    }
    // A tap of the whole port wants foreign VLANs as well. The port lets them in; the pools' own filters still hold
    // tenants to theirs, and what no pool wants goes to the default pool.
    if (taps_.port_receive) {
      for (u32 i = 0; i < info(Field::vfta).count; ++i) at(Field::vfta, i) = ~u32{0};
    }
  }

  void pools() {
    // The PF's own pool asks for nothing: this PF has no receiver.
    for (unsigned v = 0; v < config_.vfs; ++v) {
      const VfConfig& vf = config_.vf[v];
      const VfState& state = states_[v];
      at(Field::vmolr, v) = ixgbe::Vmolr::bam | (vf.port_vlan ? 0 : ixgbe::Vmolr::aupe) |
                            (state.hash_multicast ? ixgbe::Vmolr::rompe : 0) |
                            (state.all_multicast ? ixgbe::Vmolr::mpe : 0);
      if (vf.port_vlan && vf.vlan) at(Field::vmvir, v) = ixgbe::Vmvir::vlana_default | *vf.vlan;
      if (vf.spoof_check) {
        // MAC check in the low byte, VLAN check in the next; the latter only where there are VLANs to be held to.
        at(Field::spoof, v / 8) |= 1u << (v % 8) | (config_.filters_vlans() ? 1u << (8 + v % 8) : 0);
      }
      out_.image.set_bit(Field::vmecm, 0, 1, v);
    }
  }

  void multicast() {
    bool any = false;
    for (const VfState& state : states_) {
      for (const std::uint16_t hash : state.multicast) out_.image.set_bit(Field::mta, 0, 1, hash & 0xfff);
      any |= state.hash_multicast;
    }
    at(Field::mcstctrl) = any ? ixgbe::Mcstctrl::mfe : 0;  // hash offset 0, as told in the reset reply
  }

  void queues() {
    const PoolMode& mode = pool_mode(nic_, config_.vfs);
    for (unsigned v = 0; v < config_.vfs; ++v) {
      for (unsigned q = 0; q < mode.queues; ++q) {
        const u32 queue = v * mode.queues + q;
        // Every VF: a slow one must never stall another, and the slowest is the agent.
        at(Field::queue_drop, queue) = ixgbe::Pfqde::qde;
        at(Field::queue_rate, queue) = rate_factor(config_.vf[v].rate_mbps);
      }
    }
  }

  // Link speed over wanted rate, 10.14 fixed point, and the limiter's switch.
  u32 rate_factor(unsigned mbps) const {
    constexpr u32 kOn = 1u << 31;
    return mbps == 0 || mbps >= nic_.link_mbps ? 0 : kOn | (nic_.link_mbps << 14) / mbps;
  }

  void enables() {
    for (unsigned v = 0; v < config_.vfs; ++v) {
      if (states_[v].receive) out_.image.set_bit(Field::vfre, 0, 1, v);
      if (states_[v].transmit) out_.image.set_bit(Field::vfte, 0, 1, v);
    }
    if (config_.default_pool == DefaultPool::pf) out_.image.set_bit(Field::vfre, 0, 1, pf_pool(config_));
  }

  void mirrors() {
    for (const MirrorRule& rule : taps_.rules) {
      if (rule.slot >= nic_.mirror_rules) continue;  // refused; the plan is not applied
      const u32 r = rule.slot, stride = nic_.mirror_rules;
      at(Field::mrvm, r) = static_cast<u32>(rule.sources);
      at(Field::mrvm, r + stride) = static_cast<u32>(rule.sources >> 32);
      for (const std::uint16_t vid : rule.vids) {
        if (const auto entry = entries_.find(vid); entry != entries_.end()) {
          out_.image.set_bit(Field::mrvlan, r, stride, entry->second);
        }
      }
      at(Field::mrctl, r) = (rule.pool ? ixgbe::Mrctl::vpme : 0) | (rule.uplink ? ixgbe::Mrctl::upme : 0) |
                            (rule.downlink ? ixgbe::Mrctl::dpme : 0) | (rule.vlan ? ixgbe::Mrctl::vlme : 0) |
                            rule.destination << ixgbe::Mrctl::mp_shift;
    }
  }

  const Capabilities& nic_;
  const PfConfig& config_;
  std::vector<VfState> states_;
  const TapPlan& taps_;
  const Image& current_;
  std::set<std::uint64_t> used_;          // addresses
  std::map<std::uint16_t, u32> entries_;  // VLAN -> PFVLVF entry
  Desired out_;
};

}  // namespace

std::optional<hw::Mac> mac_in_force(const VfConfig& config, const VfState& state) {
  return state.mac ? state.mac : config.mac;
}

Desired desired_image(const Capabilities& nic, const PfConfig& config, std::span<const VfState> states,
                      const TapPlan& taps, const Image& current) {
  return Builder(nic, config, states, taps, current).build();
}

}  // namespace vigia::pf
