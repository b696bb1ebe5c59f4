// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/port.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

namespace vigia::pf {
namespace {

constexpr std::chrono::seconds kProbeLimit{5}, kSettleLimit{1}, kCarrierLimit{6};
constexpr std::chrono::milliseconds kStep{20};

// Defaults that a driver which does not tell may be taken to have.
bool is_default(const Setting& setting) {
  return setting.kind >= SettingKind::vf_vlan && setting.kind <= SettingKind::vf_rate &&
         (setting.after == "none" || setting.after == "off" || setting.after == "auto");
}

bool holds(const Setting& setting, std::string_view value) {
  if (setting.kind == SettingKind::vf_driver) return value != "none" && value != "unknown";
  return value == setting.after || (value == "unknown" && is_default(setting));
}

unsigned count_of(std::string_view text) {
  unsigned value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

Result<KernelState> KernelPort::look() const {
  KernelState state;
  auto facts = sriov_.look();
  if (!facts) return facts.error();
  state.sriov = std::move(*facts);
  if (state.sriov.interface.empty()) return state;
  auto link = netlink_->link(state.sriov.interface);
  if (!link) return link.error();
  state.link = std::move(*link);
  return state;
}

Result<Done> KernelPort::write(const Setting& setting, const KernelState& state) const {
  const std::string& interface = state.sriov.interface;
  switch (setting.kind) {
    case SettingKind::port_mtu:
      return netlink_->set_mtu(interface, count_of(setting.after));
    case SettingKind::port_up:
      return netlink_->set_up(interface, setting.after == "up");
    case SettingKind::autoprobe:
      return sriov_.set_autoprobe(setting.after == "on");
    case SettingKind::vfs:
      return sriov_.set_vfs(count_of(setting.after));
    case SettingKind::vf_driver:
      if (setting.vf >= state.sriov.functions.size()) return work_error(fmt::format("there is no VF {}", setting.vf));
      return sriov_.probe(state.sriov.functions[setting.vf].address);
    default:
      break;
  }
  const auto change = vf_change(setting.kind, setting.after);
  if (!change) return input_error(fmt::format("{}: '{}' is no value of it", setting.title(), setting.after));
  return netlink_->set_vf(interface, setting.vf, *change);
}

Result<Done> KernelPort::set(const Setting& setting) const {
  auto state = look();
  if (!state) return state.error();
  if (holds(setting, value_of(*state, setting.kind, setting.vf))) return Done{};
  if (setting.kind == SettingKind::vf_rate && !state->link.carrier) {
    // Some drivers refuse limits without a link, and a port that has just been set up needs a moment for one.
    (void)wait_until(
        "link", kCarrierLimit,
        [&] {
          const auto now = look();
          return now && now.value().link.carrier;
        },
        kStep);
  }
  if (auto written = write(setting, *state); !written) {
    return Error{written.error().code,
                 fmt::format("{} to {}: {}", setting.title(), setting.after, written.error().text)};
  }
  std::string found;
  // Drivers bind, and some settings take hold, a moment later.
  const auto seen = wait_until(
      setting.title(), setting.kind == SettingKind::vf_driver ? kProbeLimit : kSettleLimit,
      [&] {
        const auto now = look();
        if (!now) return false;
        found = value_of(*now, setting.kind, setting.vf);
        return holds(setting, found);
      },
      kStep);
  if (seen) return Done{};
  if (setting.kind == SettingKind::vf_driver) {
    return work_error(
        fmt::format("{}: no driver of this host took it; load the VF's driver (igbvf, ixgbevf, iavf), or "
                    "set host_drivers: false",
                    setting.title()));
  }
  return work_error(fmt::format("{}: wrote {}, read back {}; driver {} ignores it, or somebody else sets it too",
                                setting.title(), setting.after, found, state->sriov.driver));
}

Result<Done> KernelPort::apply(std::span<const Setting> settings) const {
  for (std::size_t i = 0; i < settings.size(); ++i) {
    auto done = set(settings[i]);
    if (done) continue;
    Error error = done.error();
    const auto left = take_back(settings.first(i));
    if (!left) {
      error.text += "; taking back what was set before it failed as well: " + left.error().text;
    } else {
      error.text += fmt::format("; the {} settings before it have been taken back", i);
    }
    return error;
  }
  return Done{};
}

Result<std::vector<Setting>> KernelPort::take_back(std::span<const Setting> settings) const {
  std::vector<Setting> left;
  for (auto setting = settings.rbegin(); setting != settings.rend(); ++setting) {
    const auto state = look();
    if (!state) return state.error();
    const std::string now = value_of(*state, setting->kind, setting->vf);
    if (setting->before == "unknown" || setting->kind == SettingKind::vf_driver || now == "unknown") {
      continue;  // goes with the VFs
    }
    if (now == setting->before) continue;
    if (now != setting->after) {
      left.push_back(*setting);
      continue;
    }
    Setting back = *setting;
    std::swap(back.before, back.after);
    if (auto done = set(back); !done) return done.error();
  }
  return left;
}

}  // namespace vigia::pf
