// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/journal.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "pfdriver/durable_file.h"

namespace vigia::pf {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;

// Throws json::exception at what is not as record_json() writes it.
bool read_record(const json& from, KernelRecord& out) {
  if (from.at("vigia_pf_kernel_journal") != kVersion) return false;
  out.device = from.at("device");
  out.applying = from.at("applying");
  out.blind = from.at("blind");
  for (const json& s : from.at("settings")) {
    const auto kind = parse_setting_kind(s.at("kind").get<std::string>());
    if (!kind) return false;
    out.settings.push_back({*kind, s.at("vf"), s.at("before"), s.at("after")});
  }
  for (const json& c : from.at("claims")) out.claims.push_back({c.at("offset"), c.at("set"), c.at("cleared")});
  return true;
}

}  // namespace

std::string record_json(const KernelRecord& record) {
  json out{{"vigia_pf_kernel_journal", kVersion}, {"device", record.device},
           {"applying", record.applying},         {"blind", record.blind},
           {"settings", json::array()},           {"claims", json::array()}};
  for (const Setting& s : record.settings) {
    out["settings"].push_back({{"kind", word(s.kind)}, {"vf", s.vf}, {"before", s.before}, {"after", s.after}});
  }
  for (const Claim& c : record.claims) {
    out["claims"].push_back({{"offset", c.offset}, {"set", c.set}, {"cleared", c.cleared}});
  }
  return out.dump();
}

Result<KernelRecord> parse_record(std::string_view text, const std::string& name) {
  const Error foreign = input_error(
      fmt::format("journal {}: not a journal of vigia-pf's generator kernel; name another with --journal", name));
  const json from = json::parse(text, nullptr, false);
  KernelRecord out;
  try {
    if (!from.is_object() || !read_record(from, out)) return foreign;
  } catch (const json::exception&) {
    return foreign;
  }
  return out;
}

Result<Done> KernelJournal::store(const KernelRecord& record) const {
  return file_.empty() ? Done{} : write_durably(file_, record_json(record));
}

Result<KernelRecord> KernelJournal::load() const {
  std::error_code ignored;
  if (file_.empty() || !std::filesystem::exists(file_, ignored)) return KernelRecord{};
  std::ifstream in(file_, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  return parse_record(text, file_.string());
}

}  // namespace vigia::pf
