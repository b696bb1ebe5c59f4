// SPDX-License-Identifier: Apache-2.0
// The JSON of `vigia pf show`: written, and read back by the orchestrator.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "pfdriver/show.h"

namespace vigia::pf {
namespace {

using nlohmann::json;

json driver_json(const std::optional<VfDriverView>& driver) {
  if (!driver) return nullptr;
  return {{"ready", driver->ready},
          {"api", driver->api},
          {"wants_promiscuous", driver->wants_promiscuous},
          {"refusals", driver->refusals},
          {"last_refusal", driver->last_refusal}};
}

json rules_json(const std::vector<MirrorRule>& rules) {
  json out = json::array();
  for (const MirrorRule& rule : rules) out.push_back(json::parse(rule_json(rule)));
  return out;
}

// Each of these throws json::exception at what is not as show_json() writes it; caught in parse_show().
template <class T>
std::optional<T> nullable(const json& value) {
  return value.is_null() ? std::nullopt : std::optional<T>(value.get<T>());
}

MirrorRule read_rule(const json& from) {
  MirrorRule rule;
  rule.slot = from.at("slot");
  rule.destination = from.at("destination");
  rule.pool = from.at("pool");
  rule.uplink = from.at("uplink");
  rule.downlink = from.at("downlink");
  rule.vlan = from.at("vlan");
  for (const unsigned pool : from.at("sources").get<std::vector<unsigned>>()) {
    if (pool < 64) rule.sources |= std::uint64_t{1} << pool;
  }
  rule.vids = from.at("vids").get<std::vector<std::uint16_t>>();
  return rule;
}

VfView read_vf_view(const json& from) {
  VfView vf;
  vf.index = from.at("index");
  for (const std::string& text : from.at("macs").get<std::vector<std::string>>()) {
    if (const auto mac = hw::Mac::parse(text)) vf.macs.push_back(*mac);
  }
  vf.vlans = from.at("vlans").get<std::vector<std::uint16_t>>();
  vf.port_vlan = nullable<std::uint16_t>(from.at("port_vlan"));
  vf.spoof_check = from.at("spoof_check");
  vf.vlan_spoof_check = from.at("vlan_spoof_check");
  vf.receive = from.at("receive");
  vf.transmit = from.at("transmit");
  vf.broadcast = from.at("broadcast");
  vf.multicast_hash = from.at("multicast_hash");
  vf.all_multicast = from.at("all_multicast");
  vf.untagged = from.at("untagged");
  vf.drop_when_full = from.at("drop_when_full");
  vf.rate_mbps = from.at("rate_mbps");
  if (const json& driver = from.at("driver"); !driver.is_null()) {
    vf.driver = VfDriverView{driver.at("ready"), driver.at("api"), driver.at("wants_promiscuous"),
                             driver.at("refusals"), driver.at("last_refusal")};
  }
  return vf;
}

PortView read_port(const json& from) {
  PortView view;
  view.up = from.at("up");
  view.link = from.at("link");
  view.max_frame = from.at("max_frame");
  view.loopback = from.at("loopback");
  view.vlan_filter = from.at("vlan_filter");
  view.promiscuous = from.at("promiscuous");
  view.all_multicast = from.at("all_multicast");
  view.default_pool = nullable<unsigned>(from.at("default_pool"));
  view.scopes = from.at("scopes").get<std::vector<std::string>>();
  for (const json& vf : from.at("vfs")) view.vfs.push_back(read_vf_view(vf));
  for (const json& rule : from.at("rules")) view.rules.push_back(read_rule(rule));
  for (const json& rule : from.at("wanted_rules")) view.wanted_rules.push_back(read_rule(rule));
  for (const json& drift : from.at("drift")) {
    view.drift.push_back({drift.at("name"), drift.at("meaning"), drift.at("wanted"), drift.at("found")});
  }
  const auto kind = parse_generator(from.at("generator").get<std::string>());
  view.generator = kind.value_or(GeneratorKind::native);
  view.drifts = from.at("drifts");
  for (const json& o : from.at("overruled")) view.overruled.push_back({o.at("what"), o.at("wanted"), o.at("found")});
  return view;
}

}  // namespace

std::string show_json(const PortView& view, const PfConfig& names) {
  json out{{"up", view.up},
           {"link", view.link},
           {"max_frame", view.max_frame},
           {"loopback", view.loopback},
           {"vlan_filter", view.vlan_filter},
           {"promiscuous", view.promiscuous},
           {"all_multicast", view.all_multicast},
           {"default_pool", view.default_pool ? json(*view.default_pool) : json()},
           {"scopes", view.scopes},
           {"vfs", json::array()},
           {"rules", rules_json(view.rules)},
           {"wanted_rules", rules_json(view.wanted_rules)},
           {"drift", json::array()},
           {"generator", generator_word(view.generator)},
           {"drifts", view.drifts},
           {"overruled", json::array()}};
  for (const VfView& vf : view.vfs) {
    std::vector<std::string> macs;
    for (const hw::Mac& mac : vf.macs) macs.push_back(mac.text());
    out["vfs"].push_back(
        {{"index", vf.index},
         {"title", vf.index < names.vf.size() ? names.vf[vf.index].title() : fmt::format("VF {}", vf.index)},
         {"macs", macs},
         {"vlans", vf.vlans},
         {"port_vlan", vf.port_vlan ? json(*vf.port_vlan) : json()},
         {"spoof_check", vf.spoof_check},
         {"vlan_spoof_check", vf.vlan_spoof_check},
         {"receive", vf.receive},
         {"transmit", vf.transmit},
         {"broadcast", vf.broadcast},
         {"multicast_hash", vf.multicast_hash},
         {"all_multicast", vf.all_multicast},
         {"untagged", vf.untagged},
         {"drop_when_full", vf.drop_when_full},
         {"rate_mbps", vf.rate_mbps},
         {"driver", driver_json(vf.driver)}});
  }
  for (const Drift& drift : view.drift) {
    out["drift"].push_back(
        {{"name", drift.name}, {"meaning", drift.meaning}, {"wanted", drift.wanted}, {"found", drift.found}});
  }
  for (const Overruled& o : view.overruled) {
    out["overruled"].push_back({{"what", o.what}, {"wanted", o.wanted}, {"found", o.found}});
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<PortView> parse_show(std::string_view text) {
  try {
    return read_port(json::parse(text));
  } catch (const json::exception& wrong) {
    return work_error(
        fmt::format("the port's state is not as this vigia's vigia-pf writes it ({}); is vigia-pf of "
                    "another version?",
                    wrong.what()));
  }
}

}  // namespace vigia::pf
