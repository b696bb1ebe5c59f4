// SPDX-License-Identifier: Apache-2.0
// The JSON of `vigia pf show`: written, and read back by the orchestrator.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "pfdriver/show.h"

namespace nlohmann {

template <class T>
struct adl_serializer<std::optional<T>> {
  static void to_json(json& to, const std::optional<T>& value) { to = value ? json(*value) : json(); }
  static void from_json(const json& from, std::optional<T>& value) {
    value = from.is_null() ? std::nullopt : std::optional<T>(from.get<T>());
  }
};

template <>
struct adl_serializer<vigia::hw::Mac> {
  static void to_json(json& to, const vigia::hw::Mac& mac) { to = mac.text(); }
  static void from_json(const json& from, vigia::hw::Mac& mac) {
    const auto read = vigia::hw::Mac::parse(from.get<std::string>());
    if (!read) throw json::other_error::create(501, "not an address", &from);
    mac = *read;
  }
};

}  // namespace nlohmann

namespace vigia::pf {

using nlohmann::json;

// Both directions of each; what is not as it was written throws json::exception, caught in parse_show().
static void to_json(json& to, const MirrorRule& rule) { to = json::parse(rule_json(rule)); }

static void from_json(const json& from, MirrorRule& rule) {
  rule.slot = from.at("slot");
  rule.destination = from.at("destination");
  rule.pool = from.at("pool");
  rule.uplink = from.at("uplink");
  rule.downlink = from.at("downlink");
  rule.vlan = from.at("vlan");
  for (const unsigned pool : from.at("sources").get<std::vector<unsigned>>()) {
    if (pool < 64) rule.sources |= std::uint64_t{1} << pool;
  }
  from.at("vids").get_to(rule.vids);
}

static void to_json(json& to, GeneratorKind kind) { to = generator_word(kind); }

static void from_json(const json& from, GeneratorKind& kind) {
  kind = parse_generator(from.get<std::string>()).value_or(GeneratorKind::native);
}

static void to_json(json& to, Direction direction) { to = direction_word(direction); }

static void from_json(const json& from, Direction& direction) {
  direction = from == direction_word(Direction::rx) ? Direction::rx : Direction::tx;
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(VfDriverView, ready, api, wants_promiscuous, refusals, last_refusal)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(VfView, index, macs, vlans, port_vlan, spoof_check, vlan_spoof_check, receive,
                                   transmit, broadcast, multicast_hash, all_multicast, untagged, drop_when_full,
                                   rate_mbps, driver)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Drift, name, meaning, wanted, found)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Overruled, what, wanted, found)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PortMirror, from, to, direction)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PortView, generator, up, link, max_frame, loopback, vlan_filter, promiscuous,
                                   all_multicast, default_pool, vfs, rules, scopes, wanted_rules, mirrors, drift,
                                   overruled, drifts)

std::string show_json(const PortView& view, const PfConfig& names) {
  json out = view;
  for (json& vf : out["vfs"]) {
    const std::size_t index = vf.at("index");
    vf["title"] = index < names.vf.size() ? names.vf[index].title() : fmt::format("VF {}", index);
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<PortView> parse_show(std::string_view text) {
  try {
    return json::parse(text).get<PortView>();
  } catch (const json::exception& wrong) {
    return work_error(
        fmt::format("the port's state is not as this vigia's vigia-pf writes it ({}); is vigia-pf of "
                    "another version?",
                    wrong.what()));
  }
}

}  // namespace vigia::pf
