// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/port_spec.h"

#include <fmt/format.h>

#include <algorithm>

#include "hw/spelling.h"

namespace vigia::vf {

std::string PortSpec::word(const std::string& key, std::string_view fallback) const {
  const auto found = words.find(key);
  return found == words.end() ? std::string(fallback) : found->second;
}

Result<bool> PortSpec::yes(const std::string& key, bool fallback) const {
  const std::string text = word(key, fallback ? "yes" : "no");
  if (text == "yes" || text == "no") return text == "yes";
  return input_error(fmt::format("device '{}': {} is '{}'; want yes or no", spec, key, text));
}

Result<PortSpec> parse_port_spec(const std::string& spec, std::string_view rest, std::span<const std::string> keys) {
  PortSpec out;
  out.spec = spec;
  std::string_view left = rest;
  for (;;) {
    const std::size_t comma = left.rfind(',');
    if (comma == left.npos) break;
    const std::string_view option = left.substr(comma + 1);
    const std::size_t equals = option.find('=');
    const std::string key(option.substr(0, equals));
    if (equals == option.npos || std::find(keys.begin(), keys.end(), key) == keys.end()) {
      const std::string_view near = equals == option.npos ? "" : hw::nearest(key, keys);
      if (near.empty()) break;  // a place with a comma
      return input_error(fmt::format("device '{}': no option '{}'; did you mean '{}'?", spec, key, near));
    }
    if (!out.words.emplace(key, option.substr(equals + 1)).second) {
      return input_error(fmt::format("device '{}': {} is given twice", spec, key));
    }
    left = left.substr(0, comma);
  }
  out.place = left;
  if (out.place.empty()) return input_error(fmt::format("device '{}': it names nothing before its options", spec));
  return out;
}

}  // namespace vigia::vf
