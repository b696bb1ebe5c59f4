// SPDX-License-Identifier: Apache-2.0
// What follows the scheme of a device: "PLACE,key=word,key=word".
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "hw/result.h"

namespace vigia::vf {

struct PortSpec {
  std::string place;                         // an interface, a path; may itself hold commas
  std::map<std::string, std::string> words;  // by key

  // The word of a key; fallback where it was not given.
  std::string word(const std::string& key, std::string_view fallback) const;
  // "yes" or "no"; an input error with the spec for others.
  Result<bool> yes(const std::string& key, bool fallback) const;

  std::string spec;  // as typed, for messages
};

// rest: what follows "scheme:" of spec. Only ",key=" of a known key begins an option, so that paths may hold commas; a
// key that is near to a known one, and one given twice, is refused.
Result<PortSpec> parse_port_spec(const std::string& spec, std::string_view rest, std::span<const std::string> keys);

}  // namespace vigia::vf
