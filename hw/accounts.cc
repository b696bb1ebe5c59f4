// SPDX-License-Identifier: Apache-2.0
#include "hw/accounts.h"

#include <fmt/format.h>

namespace vigia::hw::accounts {

std::vector<std::string> softnic_names(unsigned vfs) {
  std::vector<std::string> names;
  for (const Account& a : kPort) names.emplace_back(a.name);
  for (const Account& a : kPool) names.push_back("pf." + std::string(a.name));
  for (unsigned v = 0; v < vfs; ++v) {
    for (const Account& a : kPool) names.push_back("vf" + std::to_string(v) + "." + std::string(a.name));
  }
  return names;
}

std::vector<std::string> capture_names(unsigned engines, unsigned stores) {
  std::vector<std::string> names;
  for (const Account& a : kEngine) {
    const unsigned count = a.name.starts_with("store.") ? stores : engines;
    for (unsigned lane = 0; lane < count; ++lane) {
      names.push_back(of_lane(a.name, count > 1 ? std::optional(lane) : std::nullopt));
    }
  }
  return names;
}

std::string of_lane(std::string_view account, std::optional<unsigned> lane) {
  std::string name(account);
  if (lane) name.insert(name.find('.'), "@" + std::to_string(*lane));
  return name;
}

std::string_view meaning_of(std::string_view name) {
  for (const Account& a : kPort) {
    if (a.name == name) return a.meaning;
  }
  for (const Account& a : kEngine) {
    if (a.name == name) return a.meaning;
  }
  for (const Account& a : kReceivePort) {
    if (a.name == name) return a.meaning;
  }
  for (const Account& a : kCopies) {
    if (a.name == name) return a.meaning;
  }
  const auto dot = name.find('.'), at = name.find('@');
  if (at < dot && dot != name.npos) return meaning_of(std::string(name.substr(0, at)).append(name.substr(dot)));
  for (const Account& a : kPool) {
    if (dot != name.npos && a.name == name.substr(dot + 1)) return a.meaning;
  }
  return {};
}

std::string copies_sentence(std::string_view who, std::uint64_t predicted, std::uint64_t unpredicted,
                            std::uint64_t missing, std::uint64_t open) {
  std::string text =
      fmt::format("{}: the mirrors predict {} of {} duplicates", who, predicted, predicted + unpredicted);
  if (unpredicted == 0 && missing == 0) text += ", and every copy that they predict came";
  if (unpredicted > 0) {
    text += fmt::format("; the other {} came twice over the wire, were sent twice or were flooded", unpredicted);
  }
  if (missing > 0) {
    text += fmt::format(
        "; {} predicted copies did not come: a mirror is gone or does not see these frames, or its copies were lost on "
        "their way (`vigia pf show` counts them)",
        missing);
  }
  if (open > 0) text += fmt::format("; of {} more it is not known", open);
  return text;
}

}  // namespace vigia::hw::accounts
