// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/show.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_pf.h"

namespace vigia::pf {
namespace {

namespace ixgbe = hw::ixgbe;
using ixgbe::u32;

bool bit(const Image& image, Field field, unsigned pool) { return (image.at(field, pool / 32) >> pool % 32 & 1) != 0; }

VfView decode_vf(const Image& image, const Capabilities& nic, unsigned v, unsigned vfs) {
  VfView vf;
  vf.index = v;
  for (u32 a = 0; a < nic.addresses; ++a) {
    const u32 high = image.at(Field::rah, a);
    if ((high & ixgbe::Rah::av) == 0 || (image.pair(Field::mpsar, 2 * a, 1) >> v & 1) == 0) continue;
    vf.macs.push_back(hw::Mac::unpack(std::uint64_t{high & 0xffff} << 32 | image.at(Field::ral, a)));
  }
  for (u32 k = 0; k < nic.pool_vlans; ++k) {
    const u32 entry = image.at(Field::vlvf, k);
    if ((entry & ixgbe::Vlvf::vi_en) != 0 && (image.pair(Field::vlvfb, 2 * k, 1) >> v & 1) != 0) {
      vf.vlans.push_back(static_cast<std::uint16_t>(entry & ixgbe::Vlvf::vid_mask));
    }
  }
  const u32 insert = image.at(Field::vmvir, v);
  if ((insert & ixgbe::Vmvir::vlana_mask) == ixgbe::Vmvir::vlana_default) {
    vf.port_vlan = static_cast<std::uint16_t>(insert & ixgbe::Vlvf::vid_mask);
  }
  const u32 spoof = image.at(Field::spoof, v / 8);
  vf.spoof_check = (spoof >> v % 8 & 1) != 0;
  vf.vlan_spoof_check = (spoof >> (8 + v % 8) & 1) != 0;
  vf.receive = bit(image, Field::vfre, v);
  vf.transmit = bit(image, Field::vfte, v);
  const u32 accepts = image.at(Field::vmolr, v);
  vf.broadcast = (accepts & ixgbe::Vmolr::bam) != 0;
  vf.multicast_hash = (accepts & ixgbe::Vmolr::rompe) != 0;
  vf.all_multicast = (accepts & ixgbe::Vmolr::mpe) != 0;
  vf.untagged = (accepts & ixgbe::Vmolr::aupe) != 0;
  vf.drop_when_full = true;
  const unsigned queues = pool_mode(nic, vfs).queues;
  for (unsigned q = 0; q < queues; ++q) vf.drop_when_full &= image.at(Field::queue_drop, v * queues + q) != 0;
  if (const u32 factor = image.at(Field::queue_rate, v * queues) & 0xff'ffff; factor != 0) {
    vf.rate_mbps = nic.link_mbps * 16384.0 / factor;  // 10.14 fixed point
  }
  return vf;
}

MirrorRule decode_rule(const Image& image, const Capabilities& nic, u32 r) {
  const u32 control = image.at(Field::mrctl, r);
  MirrorRule rule;
  rule.slot = r;
  rule.pool = (control & ixgbe::Mrctl::vpme) != 0;
  rule.uplink = (control & ixgbe::Mrctl::upme) != 0;
  rule.downlink = (control & ixgbe::Mrctl::dpme) != 0;
  rule.vlan = (control & ixgbe::Mrctl::vlme) != 0;
  rule.destination = (control & ixgbe::Mrctl::mp_mask) >> ixgbe::Mrctl::mp_shift;
  rule.sources = image.pair(Field::mrvm, r, nic.mirror_rules);
  const std::uint64_t entries = image.pair(Field::mrvlan, r, nic.mirror_rules);
  for (u32 k = 0; k < nic.pool_vlans; ++k) {
    const u32 entry = image.at(Field::vlvf, k);
    if ((entries >> k & 1) != 0 && (entry & ixgbe::Vlvf::vi_en) != 0) {
      rule.vids.push_back(static_cast<std::uint16_t>(entry & ixgbe::Vlvf::vid_mask));
    }
  }
  return rule;
}

ScopeContext context_of(const PortView& view, const PfConfig& names) {
  ScopeContext context;
  for (const VfView& vf : view.vfs) {
    context.titles.push_back(vf.index < names.vf.size() ? names.vf[vf.index].title() : fmt::format("VF {}", vf.index));
    context.port_vlan.push_back(vf.port_vlan.value_or(0));
    context.vlans.push_back(vf.vlans);
  }
  context.titles.push_back("the PF");
  context.loopback = view.loopback;
  context.promiscuous = view.promiscuous;
  context.default_pool = view.default_pool.has_value();
  return context;
}

std::string on(bool value) { return value ? "on" : "off"; }

}  // namespace

PortView decode(const Image& image, const Capabilities& nic, const PfConfig& names) {
  PortView view;
  view.max_frame = image.at(Field::maxfrs) >> 16;
  view.loopback = (image.at(Field::gswc) & ixgbe::Pfdtxgswc::lbe) != 0;
  view.vlan_filter = (image.at(Field::vlnctrl) & ixgbe::Vlnctrl::vfe) != 0;
  view.promiscuous = (image.at(Field::fctrl) & ixgbe::Fctrl::upe) != 0;
  view.all_multicast = (image.at(Field::fctrl) & ixgbe::Fctrl::mpe) != 0;
  const u32 vt = image.at(Field::vtctl);
  if ((vt & ixgbe::Pfvtctl::dis_def_pool) == 0) view.default_pool = vt >> ixgbe::Pfvtctl::def_pl_shift & 0x3f;
  for (unsigned v = 0; v < names.vfs; ++v) view.vfs.push_back(decode_vf(image, nic, v, names.vfs));
  for (u32 r = 0; r < nic.mirror_rules; ++r) {
    if (image.at(Field::mrctl, r) & ixgbe::Mrctl::types) view.rules.push_back(decode_rule(image, nic, r));
  }
  const ScopeContext context = context_of(view, names);
  for (const MirrorRule& rule : view.rules) {
    for (std::string& scope : effective_scope(rule, context)) view.scopes.push_back(std::move(scope));
  }
  return view;
}

PortView show(hw::Bar& bar, const Image& image, const Capabilities& nic, const PfConfig& names) {
  PortView view = decode(image, nic, names);
  view.up = (bar.read(ixgbe::pf::CTRL_EXT) & ixgbe::CtrlExt::drv_load) != 0 &&
            (bar.read(ixgbe::pf::RXCTRL) & ixgbe::Rxctrl::rxen) != 0;
  view.link = (bar.read(ixgbe::pf::LINKS) & ixgbe::Links::up) != 0;
  return view;
}

std::string show_text(const PortView& view, const PfConfig& names) {
  const ScopeContext context = context_of(view, names);
  std::string out = fmt::format(
      "port: {}, link {}, frames up to {} bytes, loopback {}, VLAN filter {}, unicast promiscuous {}, all multicast "
      "{}, "
      "frames that no VF wants: {}\n",
      view.up ? "up" : "down", view.link ? "up" : "down", view.max_frame, on(view.loopback), on(view.vlan_filter),
      on(view.promiscuous), on(view.all_multicast),
      view.default_pool ? "to " + context.title(*view.default_pool) : std::string("dropped"));
  for (const VfView& vf : view.vfs) {
    std::vector<std::string> macs;
    for (const hw::Mac& mac : vf.macs) macs.push_back(mac.text());
    out += fmt::format(
        "{}: receive {}, transmit {}, MAC {}, VLAN {}{}, spoof check {}, {}{}\n", context.title(vf.index),
        on(vf.receive), on(vf.transmit), macs.empty() ? "none" : fmt::format("{}", fmt::join(macs, " ")),
        vf.vlans.empty() ? "none" : fmt::format("{}", fmt::join(vf.vlans, " ")), vf.port_vlan ? " (inserted)" : "",
        on(vf.spoof_check), vf.drop_when_full ? "drops when full" : "BLOCKS THE PORT WHEN FULL",
        vf.rate_mbps > 0 ? fmt::format(", at most {:.0f} Mb/s", vf.rate_mbps) : "");
  }
  if (view.scopes.empty()) out += "no mirror rule\n";
  for (const std::string& scope : view.scopes) out += scope + "\n";
  for (const Drift& d : view.drift) {
    out += fmt::format("drift: {} ({}) is {:08x}, wanted {:08x}\n", d.name, d.meaning, d.found, d.wanted);
  }
  if (view.drifts > 0) out += fmt::format("{} times found undone and set again\n", view.drifts);
  for (const Overruled& o : view.overruled) {
    out += fmt::format("changed by somebody else and left so: {} is {}, wanted {}\n", o.what, o.found, o.wanted);
  }
  return out;
}

}  // namespace vigia::pf
