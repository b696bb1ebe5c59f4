// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace vigia::pf {
namespace {

constexpr std::string_view kUnknown = "unknown", kNone = "none", kOn = "on", kOff = "off";

struct KindRow {
  std::string_view word, title;
};
constexpr std::array<KindRow, 11> kKinds{{{"port_mtu", "MTU"},
                                          {"port_up", "port"},
                                          {"autoprobe", "sriov_drivers_autoprobe"},
                                          {"vfs", "sriov_numvfs"},
                                          {"vf_mac", "MAC"},
                                          {"vf_vlan", "port VLAN"},
                                          {"vf_spoof_check", "spoof check"},
                                          {"vf_trust", "trust"},
                                          {"vf_link", "link"},
                                          {"vf_rate", "transmit limit"},
                                          {"vf_driver", "driver"}}};

std::string on(bool value) { return std::string(value ? kOn : kOff); }
std::string on(std::optional<bool> value) { return value ? on(*value) : std::string(kUnknown); }
std::string number(unsigned value) { return value == 0 ? std::string(kNone) : fmt::format("{}", value); }

std::optional<unsigned> parse_number(std::string_view text) {
  if (text == kNone) return 0u;
  unsigned value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<bool> parse_on(std::string_view text) {
  if (text != kOn && text != kOff) return std::nullopt;
  return text == kOn;
}

bool of_vf(SettingKind kind) { return kind >= SettingKind::vf_mac; }

// Keys of pf.yaml that Linux's PF drivers have no idea of, or another one.
void refuse_foreign_keys(const PfConfig& config, SettingsPlan& plan) {
  const auto refuse = [&](std::string text) { plan.refusals.push_back(std::move(text)); };
  if (config.default_pool != DefaultPool::drop) {
    refuse(
        "pf.default_pool: the kernel's driver decides where frames go that no VF wants; remove the key, or use "
        "generator: native");
  }
  if (config.vlan_filter == VlanFilter::off) {
    refuse(
        "pf.vlan_filter: the kernel's driver always holds VFs to their VLANs; remove the key, or use generator: "
        "native");
  }
  if (!config.loopback) {
    refuse(
        "pf.loopback: the kernel's driver switches between VFs; where it can leave that to the next switch, "
        "`bridge link set dev PORT hwmode vepa` says so; remove the key, or use generator: native");
  }
  for (const VfConfig& vf : config.vf) {
    if (vf.vlan && !vf.port_vlan) {
      refuse(fmt::format(
          "pf.vf: {} has vlan: {} without port_vlan: true; the kernel's drivers know port VLANs only (a VF joins other "
          "VLANs by its own request): set port_vlan: true, or remove vlan",
          vf.title(), *vf.vlan));
    }
  }
}

void judge_by_driver(const PfConfig& config, const KernelState& state, const KernelDriver& driver, SettingsPlan& plan) {
  const auto refuse = [&](const VfConfig& vf, std::string_view key, std::string_view why) {
    plan.refusals.push_back(fmt::format("pf.vf: {}: {}: {} {}; remove the key", vf.title(), key, driver.name, why));
  };
  if (driver.most_vfs > 0 && config.vfs > driver.most_vfs) {
    plan.refusals.push_back(
        fmt::format("pf.vfs: {} makes {} VFs at most, {} are wanted", driver.name, driver.most_vfs, config.vfs));
  }
  bool rates = false;
  for (const VfConfig& vf : config.vf) {
    if (vf.link != VfLink::automatic && !driver.link) refuse(vf, "link", "cannot set the link of a VF");
    if (vf.rate_mbps == 0) continue;
    rates = true;
    if (!driver.rate) refuse(vf, "rate_mbps", "cannot limit a VF");
    if (driver.rate_step > 0 && vf.rate_mbps % driver.rate_step != 0) {
      refuse(vf, "rate_mbps",
             fmt::format("rounds down to multiples of {} Mb/s: write {}", driver.rate_step,
                         std::max(driver.rate_step, vf.rate_mbps / driver.rate_step * driver.rate_step)));
    }
    if (driver.rate_needs_link && state.link.up && !state.link.carrier) {
      refuse(vf, "rate_mbps", "refuses limits while the port has no link: plug the cable in, or");
    }
  }
  if (!driver.remark.empty() && rates) plan.warnings.push_back(fmt::format("{}: {}", driver.name, driver.remark));
  const bool macs = std::any_of(config.vf.begin(), config.vf.end(), [](const VfConfig& vf) { return !!vf.mac; });
  if (driver.mac_needs_new_probe && macs && state.sriov.vfs > 0) {
    plan.warnings.push_back(
        fmt::format("{}: a VF whose driver is bound keeps its old MAC until it is bound again", driver.name));
  }
}

void judge_device(const PfConfig& config, const KernelState& state, SettingsPlan& plan) {
  if (state.sriov.driver.empty() || state.link.index == 0) {
    plan.refusals.push_back(
        fmt::format("the port has {}: generator kernel needs Linux's own driver on it; bind it (`vigia host bind`), or "
                    "use generator: native with a device vigia-pf drives itself",
                    state.sriov.driver.empty() ? "no driver" : "driver " + state.sriov.driver + " and no interface"));
  }
  if (config.vfs > state.sriov.total_vfs) {
    plan.refusals.push_back(
        fmt::format("pf.vfs: the device has {} VFs at most, {} are wanted; its firmware may allow "
                    "more",
                    state.sriov.total_vfs, config.vfs));
  }
  if (state.sriov.vfs != 0 && state.sriov.vfs != config.vfs) {
    plan.refusals.push_back(fmt::format(
        "pf.vfs: the port has {} VFs; Linux goes to {} only by way of none, which takes every VF from its guest: end "
        "their users, then `echo 0 > sriov_numvfs`",
        state.sriov.vfs, config.vfs));
  }
}

// Linux gives a VF to no driver while autoprobe is off.
void let_host_drivers_in(const PfConfig& config, const KernelState& state, SettingsPlan& plan) {
  std::vector<Setting> probes;
  for (unsigned v = 0; v < config.vfs; ++v) {
    const std::string now = value_of(state, SettingKind::vf_driver, v);
    if (now == kNone || now == kUnknown) probes.push_back({SettingKind::vf_driver, v, now, "the host's"});
  }
  if (probes.empty()) return;
  const bool off = state.sriov.vfs != config.vfs || state.sriov.autoprobe == false;
  if (state.sriov.autoprobe && off) plan.settings.push_back({SettingKind::autoprobe, 0, on(false), on(true)});
  plan.settings.insert(plan.settings.end(), probes.begin(), probes.end());
}

}  // namespace

std::string_view word(SettingKind kind) { return kKinds[static_cast<std::size_t>(kind)].word; }

std::optional<SettingKind> parse_setting_kind(std::string_view text) {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i].word == text) return static_cast<SettingKind>(i);
  }
  return std::nullopt;
}

std::string Setting::title() const {
  const std::string_view name = kKinds[static_cast<std::size_t>(kind)].title;
  return of_vf(kind) ? fmt::format("VF {} {}", vf, name) : std::string(name);
}

std::string value_of(const KernelState& state, SettingKind kind, unsigned vf) {
  const auto& [sriov, link] = state;
  const VfFacts* facts = vf < link.vfs.size() ? &link.vfs[vf] : nullptr;
  switch (kind) {
    case SettingKind::port_mtu:
      return fmt::format("{}", link.mtu);
    case SettingKind::port_up:
      return link.up ? "up" : "down";
    case SettingKind::autoprobe:
      return on(sriov.autoprobe);
    case SettingKind::vfs:
      return fmt::format("{}", sriov.vfs);
    case SettingKind::vf_driver:
      if (vf >= sriov.functions.size()) return std::string(kUnknown);
      return sriov.functions[vf].driver.empty() ? std::string(kNone) : sriov.functions[vf].driver;
    default:
      break;
  }
  if (facts == nullptr) return std::string(kUnknown);
  if (kind == SettingKind::vf_mac) return facts->mac.text();
  if (kind == SettingKind::vf_vlan) return number(facts->vlan);
  if (kind == SettingKind::vf_spoof_check) return on(facts->spoof_check);
  if (kind == SettingKind::vf_trust) return on(facts->trust);
  if (kind == SettingKind::vf_link) return facts->link ? std::string(link_word(*facts->link)) : std::string(kUnknown);
  return facts->rate_mbps ? number(*facts->rate_mbps) : std::string(kUnknown);
}

std::vector<Setting> wanted_settings(const PfConfig& config, const SriovFacts& facts) {
  std::vector<Setting> out;
  const auto want = [&](SettingKind kind, unsigned vf, std::string value) {
    out.push_back({kind, vf, "", std::move(value)});
  };
  want(SettingKind::port_mtu, 0, fmt::format("{}", config.mtu));
  want(SettingKind::port_up, 0, "up");
  if (facts.autoprobe && facts.vfs != config.vfs) want(SettingKind::autoprobe, 0, on(false));
  want(SettingKind::vfs, 0, fmt::format("{}", config.vfs));
  for (const VfConfig& vf : config.vf) {
    if (vf.mac) want(SettingKind::vf_mac, vf.index, vf.mac->text());
    want(SettingKind::vf_vlan, vf.index, number(vf.port_vlan ? vf.vlan.value_or(0) : 0));
    want(SettingKind::vf_spoof_check, vf.index, on(vf.spoof_check));
    want(SettingKind::vf_trust, vf.index, on(vf.trust));
    want(SettingKind::vf_link, vf.index, std::string(link_word(vf.link)));
    want(SettingKind::vf_rate, vf.index, number(vf.rate_mbps));
  }
  return out;
}

SettingsPlan plan_settings(const PfConfig& config, const KernelState& state, const KernelDriver* driver) {
  SettingsPlan plan;
  judge_device(config, state, plan);
  refuse_foreign_keys(config, plan);
  if (driver != nullptr) judge_by_driver(config, state, *driver, plan);
  if (driver == nullptr && !state.sriov.driver.empty()) {
    plan.warnings.push_back(fmt::format("driver {} is not in vigia's table: what it ignores shows when it is read back",
                                        state.sriov.driver));
  }
  if (!plan.refusals.empty()) return plan;
  for (Setting& setting : wanted_settings(config, state.sriov)) {
    setting.before = value_of(state, setting.kind, setting.vf);
    // What VFs will be like that are not there yet is known when they are.
    if (setting.before != setting.after) plan.settings.push_back(std::move(setting));
  }
  if (config.host_drivers) let_host_drivers_in(config, state, plan);
  return plan;
}

std::optional<VfChange> vf_change(SettingKind kind, std::string_view value) {
  VfChange change;
  switch (kind) {
    case SettingKind::vf_mac:
      change.mac = hw::Mac::parse(value);
      return change.mac ? std::optional(change) : std::nullopt;
    case SettingKind::vf_vlan:
      if (const auto vlan = parse_number(value); vlan && *vlan < 4095) {
        change.vlan = static_cast<std::uint16_t>(*vlan);
        return change;
      }
      return std::nullopt;
    case SettingKind::vf_spoof_check:
      change.spoof_check = parse_on(value);
      return change.spoof_check ? std::optional(change) : std::nullopt;
    case SettingKind::vf_trust:
      change.trust = parse_on(value);
      return change.trust ? std::optional(change) : std::nullopt;
    case SettingKind::vf_rate:
      change.rate_mbps = parse_number(value);
      return change.rate_mbps ? std::optional(change) : std::nullopt;
    case SettingKind::vf_link:
      for (const VfLink link : {VfLink::automatic, VfLink::up, VfLink::down}) {
        if (link_word(link) == value) {
          change.link = link;
          return change;
        }
      }
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace vigia::pf
