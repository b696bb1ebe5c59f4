// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/tap_spec.h"

#include <array>

#include "pfdriver/yaml_options.h"

namespace vigia::orch {
namespace {

namespace yaml = pf::yaml;

constexpr std::array<std::string_view, 3> kDirections{"rx", "tx", "both"};

constexpr std::array kTap{
    yaml::texts<&TapSpec::tenants, TapSpec>("tenants", "none", "Show it these tenants' traffic."),
    yaml::boolean<&TapSpec::port, TapSpec>("port", "false", "Show it the whole port instead."),
    yaml::optional_integer<&TapSpec::vlan, TapSpec>("vlan", 1, 4094, "none", "Show it this VLAN instead."),
    yaml::choice<&TapSpec::direction, TapSpec>("direction", kDirections, "rx",
                                               "What they receive, what they send, or both."),
    yaml::boolean<&TapSpec::allow_port_scope, TapSpec>(
        "allow_port_scope", "false", "Accept a mirror rule that shows more than was asked for, up to the whole port."),
};

}  // namespace

TapSpec read_tap(yaml::Map& map) {
  TapSpec tap;
  yaml::read_options(map, std::span<const yaml::Option<TapSpec>>(kTap), tap);
  map.finish();
  return tap;
}

std::string explain_tap(std::string_view indent) {
  return yaml::explain_options(std::span<const yaml::Option<TapSpec>>(kTap), indent);
}

std::string_view direction_word(TapDirection direction) { return kDirections[static_cast<std::size_t>(direction)]; }

}  // namespace vigia::orch
