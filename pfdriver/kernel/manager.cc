// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/manager.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

#include "hw/log.h"
#include "pfdriver/vf_state.h"

namespace vigia::pf {
namespace {

// Registers are looked at this often while there are copies: a reset VF is tapped again after at most that long.
constexpr std::chrono::milliseconds kBetweenLooks{20};
// Settings, which only people change, and what can only be written.
constexpr std::chrono::milliseconds kBetweenSettings{1000};
// Lines of a plan for one group of registers; more are counted only.
constexpr std::size_t kMostLines = 8;

void add_register_lines(const Family& family, const Reconciled& changes, const Words& blindly, const Copier& copier,
                        Plan& plan) {
  std::map<std::string_view, std::size_t> groups;
  for (const auto& write : changes.writes) ++groups[family.find(write.first)->name];
  std::map<std::string_view, std::size_t> told;
  for (const auto& [offset, value] : changes.writes) {
    const std::string_view name = family.find(offset)->name;
    if (groups[name] <= kMostLines) {
      plan.lines.push_back({register_name(family, offset), fmt::format("{:08x}", copier.read(offset)),
                            fmt::format("{:08x}", value), "register beside the kernel's driver"});
    } else if (told[name]++ == 0) {
      plan.lines.push_back({fmt::format("{} of {}", groups[name], name), "..", "..", "registers beside the driver"});
    }
  }
  if (!blindly.empty()) {
    plan.lines.push_back({fmt::format("{} of UTA", blindly.size()), "?", "ffffffff", "registers that cannot be read"});
  }
}

void append(std::vector<std::string>& to, const std::vector<std::string>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

bool is_default_of_silent_driver(const Setting& setting, const std::string& found) {
  return found == "unknown" && (setting.after == "none" || setting.after == "off" || setting.after == "auto");
}

}  // namespace

// A plan, and what apply() needs of it.
struct KernelManager::Draft {
  Plan plan;
  std::vector<Setting> settings;
  CopyPlan copies;
  std::vector<MirrorFilter> mirrors;
  bool vfs_are_there = false;
};

KernelManager::KernelManager(KernelWays ways, KernelJournal journal)
    : netlink_(std::move(ways.netlink)),
      port_(std::move(ways.sriov), *netlink_),
      open_registers_(std::move(ways.registers)),
      traffic_(std::move(ways.traffic)),
      mirrors_(*traffic_, Matcher::hardware),
      journal_(std::move(journal)) {
  record_.device = port_.sriov().address().text();
}

std::unique_ptr<KernelManager> KernelManager::look_only(KernelWays ways) {
  return std::unique_ptr<KernelManager>(new KernelManager(std::move(ways), KernelJournal()));
}

Result<std::unique_ptr<KernelManager>> KernelManager::start(KernelWays ways, const PfConfig& config,
                                                            std::filesystem::path journal) {
  std::unique_ptr<KernelManager> manager(new KernelManager(std::move(ways), KernelJournal(std::move(journal))));
  if (auto recovered = manager->recover(); !recovered) return recovered.error();
  manager->config_ = without_taps(config);
  // Where representors may be what taps need, they come with the VFs.
  const auto facts = manager->port_.sriov().look();
  if (facts && facts.value().vfs == 0 && family_of(facts.value().id) == nullptr && !config.taps.empty()) {
    if (auto applied = manager->apply(without_taps(config)); !applied) return applied.error();
  }
  if (auto applied = manager->apply(config); !applied) return applied.error();
  return manager;
}

Result<Done> KernelManager::repair(KernelWays ways, std::filesystem::path journal) {
  return KernelManager(std::move(ways), KernelJournal(std::move(journal))).recover();
}

Result<Done> KernelManager::remember() { return journal_.store(record_); }

Result<Done> KernelManager::recover() {
  auto left = journal_.load();
  if (!left) return left.error();
  if (!left->device.empty() && left->device != record_.device) {
    return input_error(
        fmt::format("the journal is of {}, not of {}; name another with --journal, or `vigia pf repair` "
                    "that port first",
                    left->device, record_.device));
  }
  record_ = std::move(*left);
  record_.device = port_.sriov().address().text();
  if (!record_.claims.empty() || record_.blind) {
    const auto facts = port_.sriov().look();
    if (!facts) return facts.error();
    auto registers = copier(*facts);
    if (!registers) return registers.error();
    if (auto taken = registers.value()->make(CopyPlan{}); !taken) return taken.error();
    log::info("journal: copies that an ended vigia-pf left have been taken away");
  }
  if (record_.applying) {
    const auto kept = port_.take_back(record_.settings);
    if (!kept) return kept.error();
    log::info("journal: settings that a crash interrupted have been taken back");
    for (const Setting& s : *kept) log::warning("journal: {} has been changed since and is left as it is", s.title());
    record_.applying = false;
    record_.settings.clear();
  }
  const auto mirrors = remove_all_mirrors(*traffic_);
  if (!mirrors) return mirrors.error();
  for (const std::string& line : *mirrors) log::info("left by an ended vigia-pf: {}", line);
  return remember();
}

Result<Copier*> KernelManager::copier(const SriovFacts& facts) const {
  if (copier_) return copier_.get();
  const Family* family = family_of(facts.id);
  if (family == nullptr) {
    return input_error(fmt::format(
        "taps: the filters of device {:04x}:{:04x} ({}) are its firmware's, so no register can copy; put the port in "
        "switchdev mode (`devlink dev eswitch set pci/{} mode switchdev`), where vigia-pf mirrors by tc",
        facts.id.vendor, facts.id.device, facts.driver.empty() ? "no driver" : facts.driver,
        port_.sriov().address().text()));
  }
  auto bar = open_registers_();
  if (!bar) return Error{bar.error().code, "taps: " + bar.error().text};
  copier_ = std::make_unique<Copier>(**bar, *family, record_.claims, record_.blind,
                                     [this](const std::vector<Claim>& claims, bool blind) {
                                       record_.claims = claims;
                                       record_.blind = blind;
                                       return journal_.store(record_);
                                     });
  return copier_.get();
}

KernelManager::Draft KernelManager::draft(const PfConfig& config) const {
  Draft draft;
  Plan& plan = draft.plan;
  if (config.generator != GeneratorKind::kernel) {
    plan.refusals.push_back(
        fmt::format("pf.generator: {} is wanted, and this port is driven by the kernel; end vigia-pf and start it with "
                    "the other device",
                    generator_word(config.generator)));
    return draft;
  }
  const auto state = port_.look();
  if (!state) {
    plan.refusals.push_back(state.error().text);
    return draft;
  }
  SettingsPlan settings = plan_settings(config, *state, kernel_driver(state->sriov.driver));
  plan.refusals = std::move(settings.refusals);
  plan.warnings = std::move(settings.warnings);
  draft.settings = std::move(settings.settings);
  draft.vfs_are_there = state->sriov.vfs == config.vfs;
  for (const Setting& s : draft.settings) plan.lines.push_back({s.title(), s.before, s.after, ""});
  if (!plan.applicable()) return draft;
  if (draft.vfs_are_there && !port_.sriov().representor(0).empty()) {
    draft_mirrors(config, draft);
  } else {
    draft_copies(config, state->sriov, draft);
  }
  return draft;
}

// In switchdev mode nothing reaches a VF but by what its representor says, so copies are made there.
void KernelManager::draft_mirrors(const PfConfig& config, Draft& draft) const {
  std::vector<std::string> representors;
  for (unsigned v = 0; v < config.vfs; ++v) representors.push_back(port_.sriov().representor(v));
  // What a VF sends comes in by its representor, as with any interface that a guest is behind.
  TcPlan wanted = plan_mirrors(config, representors);
  draft.mirrors = std::move(wanted.filters);
  append(draft.plan.refusals, wanted.refusals);
  append(draft.plan.warnings, wanted.warnings);
  append(draft.plan.scopes, wanted.scopes);
  const TcMirrors::Difference changes = mirrors_.difference(draft.mirrors);
  for (const MirrorFilter& f : changes.remove) draft.plan.lines.push_back({f.title(), "mirrored", "not", "tc mirred"});
  for (const MirrorFilter& f : changes.add) {
    draft.plan.lines.push_back({f.title(), "not", "mirrored", "tc mirred, by the NIC"});
  }
}

void KernelManager::draft_copies(const PfConfig& config, const SriovFacts& facts, Draft& draft) const {
  Plan& plan = draft.plan;
  const bool copies = copier_ != nullptr && !copier_->plan().empty();
  if (config.taps.empty() && !copies) return;
  const auto registers = copier(facts);
  if (!registers) {
    plan.refusals.push_back(registers.error().text);
    return;
  }
  Copier& on = *registers.value();
  draft.copies = plan_copies(on.family(), config, on.has_rules());
  append(plan.refusals, draft.copies.refusals);
  append(plan.warnings, draft.copies.warnings);
  append(plan.scopes, draft.copies.scopes);
  plan.rules = draft.copies.rules;
  if (config.vfs >= on.family().pools) {
    plan.refusals.push_back(fmt::format("pf.vfs: the {} has {} pools, one of them the port's own; {} VFs do not fit",
                                        on.family().nic.name, on.family().pools, config.vfs));
  }
  if (!plan.applicable()) return;
  if (draft.vfs_are_there) {
    add_register_lines(on.family(), on.preview(draft.copies), on.blindly(draft.copies), on, plan);
  } else if (!draft.copies.empty()) {
    plan.lines.push_back({"copies", "none", "as above", "registers, once the VFs are there"});
  }
}

Plan KernelManager::plan(const PfConfig& config) const { return draft(config).plan; }

Result<Plan> KernelManager::apply(const PfConfig& config) {
  Draft wanted = draft(config);
  if (auto possible = verdict(wanted.plan); !possible) return possible.error();
  if (!wanted.settings.empty()) {
    record_.applying = true;
    record_.settings = wanted.settings;
    if (auto remembered = remember(); !remembered) return remembered.error();
    if (auto applied = port_.apply(wanted.settings); !applied) {
      record_.applying = false;
      (void)remember();  // it took itself back; the first error is the one to tell
      return applied.error();
    }
  }
  if (auto copied = copy(wanted); !copied) {
    Error error = copied.error();
    if (const auto left = port_.take_back(wanted.settings); !left) {
      error.text += "; taking the settings back failed as well: " + left.error().text;
    }
    record_.applying = false;
    (void)remember();
    return error;
  }
  if (record_.applying) {
    record_.applying = false;
    if (auto remembered = remember(); !remembered) return remembered.error();
  }
  config_ = config;
  scopes_ = wanted.plan.scopes;
  overruled_.clear();
  next_settings_ = Clock::now() + kBetweenSettings;
  return std::move(wanted.plan);
}

Result<Done> KernelManager::copy(const Draft& draft) {
  if (auto made = mirrors_.make(draft.mirrors); !made) return made.error();
  if (copier_ == nullptr) return Done{};
  auto made = copier_->make(draft.copies);
  receiving_ = copier_->receiving();
  return made;
}

void KernelManager::add_to(std::vector<pollfd>& fds) const {
  if (netlink_->event_fd() >= 0) fds.push_back({netlink_->event_fd(), POLLIN, 0});
}

std::chrono::milliseconds KernelManager::patience() const {
  return copier_ != nullptr && !copier_->plan().empty() ? kBetweenLooks : kBetweenSettings;
}

void KernelManager::service() {
  const auto now = Clock::now();
  const bool events = netlink_->take_events();
  keep_copies();
  if (!events && now < next_settings_) return;
  next_settings_ = now + kBetweenSettings;
  look_at_settings();
  if (copier_ != nullptr) copier_->refresh_blindly();
}

void KernelManager::keep_copies() {
  if (copier_ == nullptr || copier_->plan().empty()) return;
  const std::uint64_t receiving = copier_->receiving();
  totals_.vf_resets += static_cast<unsigned>(std::popcount(receiving_ & ~receiving));
  receiving_ = receiving;
  const auto kept = copier_->keep();
  if (!kept) {
    log::error("copies: {}", kept.error().text);
    return;
  }
  if (!kept.value().undone.empty()) {
    ++totals_.drifts;
    log::info("drift {}: {} had lost what copies need, as after a reset of a VF; set again", totals_.drifts,
              fmt::join(kept.value().undone, ", "));
  } else if (kept.value().any()) {
    log::info("copies: followed a tenant's new address or VLAN: {}", fmt::join(kept.value().followed, ", "));
  }
}

void KernelManager::look_at_settings() {
  const auto state = port_.look();
  if (!state) {
    std::error_code ignored;
    alive_ = std::filesystem::exists(port_.sriov().folder(), ignored);
    return;
  }
  const std::vector<Overruled> before = std::exchange(overruled_, {});
  for (const Setting& setting : wanted_settings(config_, state->sriov)) {
    // Probing is for making VFs; what an administrator wants of later ones is his.
    if (setting.kind == SettingKind::autoprobe) continue;
    const std::string now = value_of(*state, setting.kind, setting.vf);
    if (now == setting.after || is_default_of_silent_driver(setting, now)) continue;
    report({setting.title(), setting.after, now}, before);
  }
  const TcMirrors::Look look = mirrors_.keep();
  for (const MirrorFilter& f : look.again) {
    ++totals_.drifts;
    log::info("drift {}: a representor of the mirror {} had gone and is back; made again", totals_.drifts, f.title());
  }
  for (const MirrorFilter& f : look.removed) report({"mirror " + f.title(), "there", "removed"}, before);
}

void KernelManager::report(const Overruled& what, const std::vector<Overruled>& before) {
  overruled_.push_back(what);
  if (std::find(before.begin(), before.end(), what) != before.end()) return;
  ++totals_.overruled;
  log::warning(
      "{} is {}, pf.yaml wants {}: somebody (an administrator, or the guest itself) has changed it and it is left so; "
      "`vigia pf apply` sets it again",
      what.what, what.found, what.wanted);
}

PortView KernelManager::show() {
  PortView view;
  view.generator = GeneratorKind::kernel;
  view.drifts = totals_.drifts;
  view.overruled = overruled_;
  view.scopes = scopes_;
  const auto state = port_.look();
  if (!state) return view;
  view.up = state->link.up;
  view.link = state->link.carrier;
  view.max_frame = state->link.mtu + kFrameOverhead;
  view.mirrors = mirrors_.in_force();
  view.loopback = view.vlan_filter = true;  // what Linux's drivers do with VFs
  std::uint64_t receiving = ~std::uint64_t{0};
  if (copier_ != nullptr) {
    receiving = copier_->receiving();
    view.loopback = copier_->loopback();
    view.rules = copier_->rules();
    view.wanted_rules = copier_->plan().rules;
    const Reconciled left = copier_->preview(copier_->plan());
    for (const auto& [offset, value] : left.writes) {
      if (view.drift.size() == kMostDrift) break;
      view.drift.push_back({register_name(copier_->family(), offset), "copies", value, copier_->read(offset)});
    }
  }
  for (unsigned v = 0; v < state->link.vfs.size(); ++v) {
    const VfFacts& facts = state->link.vfs[v];
    VfView& vf = view.vfs.emplace_back();
    vf.index = v;
    if (!facts.mac.zero()) vf.macs.push_back(facts.mac);
    if (facts.vlan != 0) {
      vf.vlans.push_back(facts.vlan);
      vf.port_vlan = facts.vlan;
    }
    vf.spoof_check = facts.spoof_check.value_or(false);
    vf.receive = vf.transmit = facts.link != VfLink::down && (receiving >> v & 1) != 0;
    vf.broadcast = vf.drop_when_full = true;  // as Linux's drivers set every VF
    vf.untagged = facts.vlan == 0;
    vf.rate_mbps = facts.rate_mbps.value_or(0);
  }
  return view;
}

void KernelManager::stop() {
  if (auto taken = copy(Draft{}); !taken) log::warning("taking the copies away: {}", taken.error().text);
  record_.settings.clear();
  if (auto remembered = remember(); !remembered) log::warning("{}", remembered.error().text);
}

Result<std::vector<std::string>> repair_kernel_port(KernelWays ways, const std::filesystem::path& journal) {
  const auto record = KernelJournal(journal).load();
  if (!record) return record.error();
  std::vector<std::string> done;
  if (record->empty()) return done;
  if (!record->claims.empty() || record->blind) {
    done.push_back(
        fmt::format("{} registers of {} hold nothing of ours any more", record->claims.size(), record->device));
  }
  if (record->applying) {
    done.push_back(fmt::format("{} settings of {} that were being made are as they were before",
                               record->settings.size(), record->device));
  }
  if (auto repaired = KernelManager::repair(std::move(ways), journal); !repaired) return repaired.error();
  return done;
}

}  // namespace vigia::pf
