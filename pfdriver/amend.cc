// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/amend.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vigia::pf {
namespace {

using nlohmann::json;

json to_json(const VfConfig& vf) {
  json out{{"index", vf.index},
           {"port_vlan", vf.port_vlan},
           {"trust", vf.trust},
           {"spoof_check", vf.spoof_check},
           {"rate_mbps", vf.rate_mbps}};
  if (vf.mac) out["mac"] = vf.mac->text();
  if (vf.vlan) out["vlan"] = *vf.vlan;
  if (vf.link != VfLink::automatic) out["link"] = link_word(vf.link);
  if (!vf.name.empty()) out["name"] = vf.name;
  if (!vf.interface.empty()) out["interface"] = vf.interface;
  return out;
}

json to_json(const Tap& tap) {
  json out{{"name", tap.name},
           {"to", tap.to},
           {"direction", direction_word(tap.direction)},
           {"allow_port_scope", tap.allow_port_scope}};
  if (tap.port) {
    out["port"] = true;
  } else {
    out["from"] = tap.from;
  }
  return out;
}

template <class List>
json all_to_json(const List& list) {
  json out = json::array();
  for (const auto& entry : list) out.push_back(to_json(entry));
  return out;
}

std::string dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

auto tap_named(std::string_view name) {
  return [name](const Tap& tap) { return tap.name == name; };
}

}  // namespace

Result<Amendment> parse_amendment(std::string_view text, std::string_view file) {
  auto document = yaml::Document::parse(text, file);
  if (!document) return document.error();
  yaml::Map root = document->root();
  Amendment out;
  for (yaml::Map& entry : root.maps("vf").value_or(std::vector<yaml::Map>{})) out.vf.push_back(read_vf(entry));
  for (yaml::Map& entry : root.maps("taps").value_or(std::vector<yaml::Map>{})) out.taps.push_back(read_tap(entry));
  out.remove_taps = root.texts("remove_taps").value_or(std::vector<std::string>{});
  root.finish();
  if (auto verdict = document->verdict(); !verdict) return verdict.error();
  return out;
}

std::string amendment_json(const Amendment& amendment) {
  return dump({{"vf", all_to_json(amendment.vf)},
               {"taps", all_to_json(amendment.taps)},
               {"remove_taps", amendment.remove_taps}});
}

Result<PfConfig> amend(PfConfig config, const Amendment& amendment) {
  for (const VfConfig& vf : amendment.vf) {
    if (vf.index >= config.vfs) {
      return input_error(
          fmt::format("VF {} does not exist: the port has {} VFs, 0..{}; choose one of them, or start "
                      "the port with more",
                      vf.index, config.vfs, config.vfs - 1));
    }
    config.vf[vf.index] = vf;
  }
  for (const std::string& name : amendment.remove_taps) std::erase_if(config.taps, tap_named(name));
  for (const Tap& tap : amendment.taps) {
    const auto old = std::find_if(config.taps.begin(), config.taps.end(), tap_named(tap.name));
    if (old != config.taps.end()) {
      *old = tap;
    } else {
      config.taps.push_back(tap);
    }
  }
  std::string faults;
  for (const Violation& v : validate(config)) faults += (faults.empty() ? "" : "\n") + v.path + ": " + v.text;
  if (!faults.empty()) return input_error(faults);
  return config;
}

Amendment undo_of(const PfConfig& config, const Amendment& amendment) {
  Amendment out;
  for (const VfConfig& vf : amendment.vf) {
    if (vf.index < config.vfs) out.vf.push_back(config.vf[vf.index]);
  }
  const auto put_back = [&](const std::string& name) {
    const auto old = std::find_if(config.taps.begin(), config.taps.end(), tap_named(name));
    if (old != config.taps.end()) out.taps.push_back(*old);
    return old != config.taps.end();
  };
  for (const Tap& tap : amendment.taps) {
    if (!put_back(tap.name)) out.remove_taps.push_back(tap.name);
  }
  for (const std::string& name : amendment.remove_taps) {
    if (std::none_of(out.taps.begin(), out.taps.end(), tap_named(name))) put_back(name);
  }
  return out;
}

std::string config_json(const PfConfig& config) {
  return dump(
      {{"vfs", config.vfs}, {"mtu", config.mtu}, {"vf", all_to_json(config.vf)}, {"taps", all_to_json(config.taps)}});
}

}  // namespace vigia::pf
