// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/registers.h"

#include <fmt/format.h>

#include <array>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_pf.h"

namespace vigia::pf {
namespace {

namespace reg = hw::ixgbe::pf;
using hw::Bar;
using hw::ixgbe::u32;

template <const auto& R>
constexpr FieldInfo direct(std::string_view meaning, u32 mask = ~u32{0}) {
  return {R.name,
          meaning,
          std::remove_cvref_t<decltype(R)>::count,
          mask,
          [](Bar& bar, u32 i) { return bar.read(R, i); },
          [](Bar& bar, u32 i, u32 value) { bar.write(R, i, value); }};
}

u32 read_queue_drop(Bar& bar, u32 queue) {
  bar.write(reg::PFQDE, hw::ixgbe::Pfqde::re | queue << hw::ixgbe::Pfqde::index_shift);
  return bar.read(reg::PFQDE) & hw::ixgbe::Pfqde::qde;
}

void write_queue_drop(Bar& bar, u32 queue, u32 value) {
  bar.write(reg::PFQDE,
            hw::ixgbe::Pfqde::we | queue << hw::ixgbe::Pfqde::index_shift | (value & hw::ixgbe::Pfqde::qde));
  (void)bar.read(reg::PFQDE);  // a flush between writes (82599 reference 7.2, step 8)
}

u32 read_queue_rate(Bar& bar, u32 queue) {
  bar.write(reg::RTTDQSEL, queue);
  return bar.read(reg::RTTBCNRC);
}

void write_queue_rate(Bar& bar, u32 queue, u32 value) {
  bar.write(reg::RTTDQSEL, queue);
  bar.write(reg::RTTBCNRC, value);
}

constexpr u32 kMaxFrameMask = 0xffff'0000, kRahMask = hw::ixgbe::Rah::av | 0xffff;
constexpr u32 kVlvfMask = hw::ixgbe::Vlvf::vi_en | hw::ixgbe::Vlvf::vid_mask;
constexpr u32 kVmvirMask = hw::ixgbe::Vmvir::vlana_mask | 0xffff;
constexpr u32 kVmolrMask = 0x1fu << 24;  // AUPE, ROMPE, ROPE, BAM, MPE
constexpr u32 kMcstMask = hw::ixgbe::Mcstctrl::mo_mask | hw::ixgbe::Mcstctrl::mfe;
constexpr u32 kVlnctrlMask = hw::ixgbe::Vlnctrl::vfe | hw::ixgbe::Vlnctrl::cfien;
constexpr u32 kFctrlMask = hw::ixgbe::Fctrl::mpe | hw::ixgbe::Fctrl::upe | hw::ixgbe::Fctrl::bam;
constexpr u32 kRateMask = 0x80ff'ffff;  // on, integer, fraction (82599 reference 5)
constexpr u32 kMrctlMask = hw::ixgbe::Mrctl::types | hw::ixgbe::Mrctl::mp_mask;

constexpr std::array<FieldInfo, kFields> kTable{
    direct<reg::HLREG0>("jumbo frames", hw::ixgbe::Hlreg0::jumboen),
    direct<reg::MAXFRS>("largest frame", kMaxFrameMask),
    direct<reg::MPSAR>("pools of a receive address"),
    direct<reg::RAL>("receive address, low half"),
    direct<reg::RAH>("receive address, high half and valid bit", kRahMask),
    direct<reg::PFVLVFB>("member pools of a VLAN"),
    direct<reg::PFVLVF>("VLAN of a pool filter", kVlvfMask),
    direct<reg::VFTA>("VLANs that the port accepts"),
    direct<reg::PFVMVIR>("port VLAN", kVmvirMask),
    direct<reg::PFVML2FLT>("what a pool accepts besides its addresses", kVmolrMask),
    direct<reg::MCSTCTRL>("multicast hash filter", kMcstMask),
    direct<reg::MTA>("multicast hashes"),
    {"PFQDE", "drop when the ring is empty", reg::kQueues, hw::ixgbe::Pfqde::qde, &read_queue_drop, &write_queue_drop},
    direct<reg::PFVFSPOOF>("anti-spoofing"),
    direct<reg::PFVMECM>("count spoofed frames"),
    {"RTTBCNRC", "transmit limit of a queue", reg::kQueues, kRateMask, &read_queue_rate, &write_queue_rate},
    direct<reg::PFDTXGSWC>("switching between VFs", hw::ixgbe::Pfdtxgswc::lbe),
    direct<reg::PFVTCTL>("virtualization and default pool"),
    direct<reg::VLNCTRL>("VLAN filter", kVlnctrlMask),
    direct<reg::FCTRL>("promiscuous and broadcast acceptance of the port", kFctrlMask),
    direct<reg::PFVFTE>("transmit enable of pools"),
    direct<reg::PFVFRE>("receive enable of pools"),
    direct<reg::PFMRVM>("source pools of a mirror rule"),
    direct<reg::PFMRVLAN>("VLAN entries of a mirror rule"),
    direct<reg::PFMRCTL>("types and destination of a mirror rule", kMrctlMask),
};

constexpr auto kOffsets = [] {
  std::array<std::size_t, kFields + 1> offsets{};
  for (unsigned f = 0; f < kFields; ++f) offsets[f + 1] = offsets[f] + kTable[f].count;
  return offsets;
}();

// Whether anything that rule r is made of differs: its masks, its control word, or the VLAN entries that it points at.
bool rule_changes(const Image& a, const Image& b, u32 r) {
  for (const Field field : {Field::mrvm, Field::mrvlan}) {
    if (a.pair(field, r, reg::kMirrorRules) != b.pair(field, r, reg::kMirrorRules)) return true;
  }
  const std::uint64_t entries = a.pair(Field::mrvlan, r, reg::kMirrorRules);
  for (u32 k = 0; k < reg::kVlvfs; ++k) {
    if ((entries >> k & 1) != 0 && a.at(Field::vlvf, k) != b.at(Field::vlvf, k)) return true;
  }
  return a.at(Field::mrctl, r) != b.at(Field::mrctl, r);
}

}  // namespace

const FieldInfo& info(Field field) { return kTable[static_cast<std::size_t>(field)]; }

std::string Cell::name() const {
  const FieldInfo& of = info(field);
  return of.count == 1 ? std::string(of.name) : fmt::format("{}[{}]", of.name, index);
}

u32 read_cell(Bar& bar, Cell cell) {
  const FieldInfo& of = info(cell.field);
  return of.read(bar, cell.index) & of.mask;
}

void write_cell(Bar& bar, Cell cell, u32 value) {
  const FieldInfo& of = info(cell.field);
  const u32 kept = of.mask == ~u32{0} ? 0 : of.read(bar, cell.index) & ~of.mask;
  of.write(bar, cell.index, kept | (value & of.mask));
}

Image::Image() : values_(kOffsets[kFields]) {}

std::size_t Image::position(Field field, u32 index) {
  check(index < info(field).count);
  return kOffsets[static_cast<std::size_t>(field)] + index;
}

void Image::set_bit(Field field, u32 first, u32 stride, unsigned bit) {
  at(field, first + stride * (bit / 32)) |= 1u << (bit % 32);
}

std::uint64_t Image::pair(Field field, u32 first, u32 stride) const {
  return at(field, first) | std::uint64_t{at(field, first + stride)} << 32;
}

Image read_image(Bar& bar) {
  Image image;
  for (unsigned f = 0; f < kFields; ++f) {
    const auto field = static_cast<Field>(f);
    for (u32 i = 0; i < info(field).count; ++i) {
      image.at(field, i) = read_cell(bar, {field, static_cast<std::uint16_t>(i)});
    }
  }
  return image;
}

void refresh_enables(Bar& bar, Image& image) {
  for (const Field field : {Field::vfte, Field::vfre}) {
    for (std::uint16_t i = 0; i < info(field).count; ++i) image.at(field, i) = read_cell(bar, {field, i});
  }
}

std::vector<Change> difference(const Image& current, const Image& desired) {
  std::vector<Change> out;
  Image now = current;
  for (std::uint16_t r = 0; r < reg::kMirrorRules; ++r) {
    u32& control = now.at(Field::mrctl, r);
    if (control == 0 || !rule_changes(current, desired, r)) continue;
    out.push_back({{Field::mrctl, r}, control, 0});
    control = 0;
  }
  bool pools_changed = false;
  for (unsigned f = 0; f < kFields; ++f) {
    const auto field = static_cast<Field>(f);
    for (std::uint16_t i = 0; i < info(field).count; ++i) {
      const u32 before = now.at(field, i), after = desired.at(field, i);
      const bool latch = pools_changed && i == 0 && (field == Field::ral || field == Field::rah);
      if (before == after && !latch) continue;
      out.push_back({{field, i}, before, after});
      pools_changed = pools_changed || field == Field::mpsar;
    }
  }
  return out;
}

}  // namespace vigia::pf
