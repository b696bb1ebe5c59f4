// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/family.h"

#include <algorithm>

#include "hw/igb/regs_pf.h"
#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_pf.h"

namespace vigia::pf {
namespace {

namespace igb = hw::igb::pf;
namespace ix = hw::ixgbe;
namespace ixreg = hw::ixgbe::pf;

template <class R>
std::vector<std::uint32_t> offsets(const R& reg, std::uint32_t count = R::count, std::uint32_t first = 0,
                                   std::uint32_t step = 1) {
  std::vector<std::uint32_t> out;
  for (std::uint32_t i = first; out.size() < count; i += step) out.push_back(reg.at(i));
  return out;
}

template <class R>
AllowedRegister allow(const R& reg, std::uint32_t mask, std::uint32_t count = R::count) {
  return {reg.name, offsets(reg, count), mask, hw::Readable<R>};
}

// Numbers of PF functions: Linux's and DPDK's tables of ids.
Family igb_family(std::string_view name, std::vector<hw::PciId> ids, unsigned addresses, std::uint32_t switch_offset) {
  Family f;
  f.nic.name = name;
  f.nic.mirror_rules = igb::kMirrorRules;
  f.nic.mirror_types_combine = false;  // not known of this family, so each rule has one type
  f.ids = std::move(ids);
  f.pools = igb::kPools;
  f.allowed = {allow(igb::RAH, igb::Rah::pools_mask, addresses),
               allow(igb::VLVF, igb::Vlvf::pools_mask),
               allow(igb::VMOLR, Accept::all),
               allow(igb::MTA, ~0u),
               allow(igb::UTA, ~0u),
               allow(igb::VMRVM, 0xff),
               allow(igb::VMRVLAN, ~0u),
               allow(igb::VMRCTL, igb::Vmrctl::types | igb::Vmrctl::destination_mask)};
  for (std::uint32_t i = 0; i < addresses; ++i) {
    f.addresses.push_back({igb::RAH.at(i), igb::Rah::av, {{igb::RAH.at(i), igb::Rah::pools_shift, igb::kPools, 0}}});
  }
  for (std::uint32_t k = 0; k < igb::kVlvfs; ++k) {
    f.vlans.push_back({igb::VLVF.at(k), igb::Vlvf::vi_en, {{igb::VLVF.at(k), igb::Vlvf::pools_shift, igb::kPools, 0}}});
  }
  f.accept = offsets(igb::VMOLR);
  f.multicast_hash = offsets(igb::MTA);
  f.unicast_hash = offsets(igb::UTA);
  f.receive_enable = offsets(igb::VFRE);
  f.loopback_offset = switch_offset;
  f.loopback_bit = igb::Dtxswc::loopback;
  for (std::uint32_t r = 0; r < igb::kMirrorRules; ++r) {
    f.rules.push_back({igb::VMRCTL.at(r), {igb::VMRVM.at(r)}, {igb::VMRVLAN.at(r)}});
  }
  return f;
}

// 82599 reference 4.4, 7, 9. X540 and X550 have the same registers there.
Family ixgbe_family(std::string_view name, std::vector<hw::PciId> ids) {
  Family f;
  f.nic.name = name;
  f.nic.mirror_rules = ixreg::kMirrorRules;
  f.nic.mirror_types_combine = true;
  f.ids = std::move(ids);
  f.pools = ixreg::kPools;
  f.allowed = {allow(ixreg::MPSAR, ~0u),
               allow(ixreg::PFVLVFB, ~0u),
               allow(ixreg::PFVML2FLT, Accept::all),
               allow(ixreg::VFTA, ~0u),
               allow(ixreg::PFVTCTL, 0x3fu << ix::Pfvtctl::def_pl_shift | ix::Pfvtctl::dis_def_pool),
               allow(ixreg::FCTRL, ix::Fctrl::upe | ix::Fctrl::mpe | ix::Fctrl::bam),
               allow(ixreg::PFMRVM, ~0u),
               allow(ixreg::PFMRVLAN, ~0u),
               allow(ixreg::PFMRCTL, ix::Mrctl::types | ix::Mrctl::mp_mask)};
  for (std::uint32_t i = 0; i < ixreg::kRars; ++i) {
    f.addresses.push_back(
        {ixreg::RAH.at(i), ix::Rah::av, {{ixreg::MPSAR.at(2 * i), 0, 32, 0}, {ixreg::MPSAR.at(2 * i + 1), 0, 32, 32}}});
  }
  for (std::uint32_t k = 0; k < ixreg::kVlvfs; ++k) {
    f.vlans.push_back({ixreg::PFVLVF.at(k),
                       ix::Vlvf::vi_en,
                       {{ixreg::PFVLVFB.at(2 * k), 0, 32, 0}, {ixreg::PFVLVFB.at(2 * k + 1), 0, 32, 32}}});
  }
  f.accept = offsets(ixreg::PFVML2FLT);
  f.receive_enable = offsets(ixreg::PFVFRE);
  f.loopback_offset = ixreg::PFDTXGSWC.at();
  f.loopback_bit = ix::Pfdtxgswc::lbe;
  for (std::uint32_t r = 0; r < ixreg::kMirrorRules; ++r) {
    f.rules.push_back({ixreg::PFMRCTL.at(r),
                       {ixreg::PFMRVM.at(r), ixreg::PFMRVM.at(r + ixreg::kMirrorRules)},
                       {ixreg::PFMRVLAN.at(r), ixreg::PFMRVLAN.at(r + ixreg::kMirrorRules)}});
  }
  f.accept_all_offset = ixreg::FCTRL.at();
  f.accept_all_bits = ix::Fctrl::upe | ix::Fctrl::mpe | ix::Fctrl::bam;
  f.port_vlans = offsets(ixreg::VFTA);
  f.default_pool_offset = ixreg::PFVTCTL.at();
  f.default_pool_off = ix::Pfvtctl::dis_def_pool;
  f.default_pool_mask = 0x3fu << ix::Pfvtctl::def_pl_shift;
  return f;
}

const std::vector<Family>& families() {
  constexpr std::uint16_t kIntel = 0x8086;
  static const std::vector<Family> all{
      igb_family("82576", {{kIntel, 0x10C9}, {kIntel, 0x10E6}, {kIntel, 0x10E7}, {kIntel, 0x10E8}, {kIntel, 0x1526}},
                 igb::kRars82576, igb::DTXSWC.at()),
      igb_family("I350", {{kIntel, 0x1521}, {kIntel, 0x1522}, {kIntel, 0x1523}, {kIntel, 0x1524}}, igb::kRarsI350,
                 igb::TXSWC.at()),
      ixgbe_family("82599", {{kIntel, 0x10F8}, {kIntel, 0x10FB}, {kIntel, 0x10FC}, {kIntel, 0x154D}, {kIntel, 0x1557}}),
      ixgbe_family("X540", {{kIntel, 0x1528}, {kIntel, 0x1560}}),
      ixgbe_family("X550", {{kIntel, 0x1563}, {kIntel, 0x15D1}}),
  };
  return all;
}

}  // namespace

bool FilterEntry::holds(std::uint32_t offset) const {
  return std::any_of(pools.begin(), pools.end(), [&](const PoolBits& bits) { return bits.offset == offset; });
}

const AllowedRegister* Family::find(std::uint32_t offset) const {
  for (const AllowedRegister& row : allowed) {
    if (std::find(row.offsets.begin(), row.offsets.end(), offset) != row.offsets.end()) return &row;
  }
  return nullptr;
}

const Family* family_of(hw::PciId id) {
  for (const Family& family : families()) {
    if (std::find(family.ids.begin(), family.ids.end(), id) != family.ids.end()) return &family;
  }
  return nullptr;
}

}  // namespace vigia::pf
