// SPDX-License-Identifier: Apache-2.0
// Desired state as settings of the kernel: what differs, in the order in which it must be set. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pfdriver/config.h"
#include "pfdriver/kernel/drivers.h"
#include "pfdriver/kernel/rtnetlink.h"
#include "pfdriver/kernel/sriov.h"

namespace vigia::pf {

// In order of setting. VFs must not be probed before the port is up and their MACs are set, or they come up without a
// link and with an address of chance; so probing is off while they are made, and comes last.
enum class SettingKind : std::uint8_t {
  port_mtu,
  port_up,
  autoprobe,
  vfs,
  vf_mac,
  vf_vlan,
  vf_spoof_check,
  vf_trust,
  vf_link,
  vf_rate,
  vf_driver,
};
std::string_view word(SettingKind kind);  // "vf_mac", for journals
std::optional<SettingKind> parse_setting_kind(std::string_view word);

// One setting and its values as words: "up", "02:00:00:00:00:01", "100", "none". They are compared, shown, journaled
// and set as such.
struct Setting {
  SettingKind kind;
  unsigned vf = 0;  // of vf_ kinds
  std::string before, after;
  friend bool operator==(const Setting&, const Setting&) = default;

  std::string title() const;  // "VF 0 MAC", "sriov_numvfs"
};

struct KernelState {
  SriovFacts sriov;
  LinkFacts link;
};

// The word of a setting as it is now; "unknown": the driver does not tell, or there is no such VF.
std::string value_of(const KernelState& state, SettingKind kind, unsigned vf);

struct SettingsPlan {
  std::vector<Setting> settings;
  std::vector<std::string> refusals, warnings;
};

// What the config wants of each setting that it speaks of, whatever it is now; before is empty.
std::vector<Setting> wanted_settings(const PfConfig& config, const SriovFacts& facts);
// driver: nullptr when it is not in the table.
SettingsPlan plan_settings(const PfConfig& config, const KernelState& state, const KernelDriver* driver);

// The change that sets the word; nothing: not a setting of a VF over rtnetlink, or the word is none of ours.
std::optional<VfChange> vf_change(SettingKind kind, std::string_view value);

}  // namespace vigia::pf
