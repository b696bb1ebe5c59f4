// SPDX-License-Identifier: Apache-2.0
// What of a port is ours, written before it is done, so that whatever kills us leaves enough to put it back.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hw/result.h"
#include "pfdriver/kernel/copies.h"
#include "pfdriver/kernel/settings.h"

namespace vigia::pf {

struct KernelRecord {
  std::string device;             // PCI address of the PF
  bool applying = false;          // the settings are being made; else they are done and stay
  std::vector<Setting> settings;  // of the last apply
  std::vector<Claim> claims;      // bits of registers
  bool blind = false;             // registers that cannot be read were written too
  friend bool operator==(const KernelRecord&, const KernelRecord&) = default;

  bool empty() const { return !applying && claims.empty() && !blind; }
};

std::string record_json(const KernelRecord& record);
// A text that is none of ours is an input error that says so.
Result<KernelRecord> parse_record(std::string_view text, const std::string& name);

// An empty path: nothing is kept.
class KernelJournal {
 public:
  explicit KernelJournal(std::filesystem::path file = {}) : file_(std::move(file)) {}
  Result<Done> store(const KernelRecord& record) const;
  // An empty record: there is no file.
  Result<KernelRecord> load() const;

 private:
  std::filesystem::path file_;
};

}  // namespace vigia::pf
