// SPDX-License-Identifier: Apache-2.0
// The wish to show an agent some traffic, as lab files and VM files write it: one table for both.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pfdriver/yaml_fields.h"

namespace vigia::orch {

enum class TapDirection { rx, tx, both };

struct TapSpec {
  std::vector<std::string> tenants;
  bool port = false;
  std::optional<std::uint16_t> vlan;
  TapDirection direction = TapDirection::rx;  // seen from the tenant
  bool allow_port_scope = false;

  bool says_nothing() const { return tenants.empty() && !port && !vlan; }
  // Whether exactly one of tenants, port and vlan is said.
  bool says_one_thing() const { return (tenants.empty() ? 0 : 1) + (port ? 1 : 0) + (vlan ? 1 : 0) == 1; }
};

inline constexpr std::string_view kTapChoice = "say one of tenants: [..], port: true and vlan: N";

// Reads every key and refuses unknown ones.
TapSpec read_tap(pf::yaml::Map& map);
// One line per key, from the table that reads.
std::string explain_tap(std::string_view indent);
// "rx", "tx", "both".
std::string_view direction_word(TapDirection direction);

}  // namespace vigia::orch
