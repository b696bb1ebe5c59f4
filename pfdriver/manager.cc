// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/manager.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_pf.h"
#include "hw/log.h"

namespace vigia::pf {
namespace {

namespace reg = hw::ixgbe::pf;
using Clock = std::chrono::steady_clock;

// Sentences about one VF: a burst of this many, then this many a second.
constexpr double kVoiceBurst = 20, kVoiceRate = 5;
// Passes, a millisecond apart, for VFs to let go of their mailboxes before the device goes quiet.
constexpr int kFarewellPasses = 20;

// Without an interrupt a mailbox is looked at this often; VF drivers wait a second for an answer.
constexpr std::chrono::milliseconds kPoll{10};
// With one, this is only a safety net against a lost interrupt, and the device is left in peace.
constexpr std::chrono::milliseconds kSafety{50};
// While a message waits for a VF to let go of its mailbox.
constexpr std::chrono::milliseconds kBusy{1};

}  // namespace

Manager::Manager(hw::PciFunction& function, hw::Bar& bar, const Capabilities& nic, PfConfig config, Journal journal)
    : function_(function),
      bar_(bar),
      nic_(nic),
      config_(std::move(config)),
      journal_(std::move(journal)),
      states_(config_.vfs),
      mailboxes_(bar, *this, config_.vfs, pool_mode(nic, config_.vfs).queues),
      voices_(config_.vfs, Voice{kVoiceBurst, 0, Clock::now()}),
      drivers_(config_.vfs) {}

Manager::~Manager() = default;

Result<std::unique_ptr<Manager>> Manager::start(hw::PciFunction& function, PfConfig config,
                                                std::filesystem::path journal_file, bool msix) {
  const Capabilities* nic = capabilities_of(function.id());
  if (nic == nullptr) {
    return input_error(
        fmt::format("{}: device {:04x}:{:04x} is no physical function that vigia-pf drives itself (8086:10fb, the "
                    "82599); give it back to Linux's driver and use generator: kernel with pci:ADDRESS",
                    function.name(), function.id().vendor, function.id().device));
  }
  if (auto possible = verdict(make_plan(*nic, config, Current{})); !possible) return possible.error();
  auto bar = function.map_bar(0);
  if (!bar) return bar.error();
  Journal journal(std::move(journal_file));
  const auto recovered = recover(**bar, journal);
  if (!recovered) return recovered.error();
  if (*recovered != Recovery::nothing) log::info("journal: {}", text_of(*recovered));

  std::unique_ptr<Manager> manager(new Manager(function, **bar, *nic, std::move(config), std::move(journal)));
  Port port{function, **bar, *nic, manager->config_, msix};
  if (auto up = bring_up(port); !up) return up.error();
  manager->image_ = read_image(**bar);
  if (auto applied = manager->apply(manager->config_); !applied) return applied.error();
  manager->mailboxes_.announce_pf(Clock::now());
  manager->link_ = (bar.value()->read(reg::LINKS) & hw::ixgbe::Links::up) != 0;
  return manager;
}

Current Manager::current() const { return {image_, states_, config_.vfs}; }

Plan Manager::plan(const PfConfig& config) const { return make_plan(nic_, config, current()); }

Result<Plan> Manager::apply(const PfConfig& config) {
  refresh_enables(bar_, image_);
  Plan plan = this->plan(config);
  if (auto possible = verdict(plan); !possible) return possible.error();
  if (auto applied = apply_changes(bar_, plan.changes, journal_); !applied) {
    image_ = read_image(bar_);  // whatever is there now
    return applied.error();
  }
  for (const Change& change : plan.changes) image_.at(change.cell.field, change.cell.index) = change.after;
  config_ = config;
  taps_ = plan_taps(nic_, config_, states_);
  if (!plan.changes.empty()) mailboxes_.ping_all(false, Clock::now());
  return plan;
}

void Manager::add_to(std::vector<pollfd>& fds) const {
  if (interrupt_fd_ >= 0) fds.push_back({interrupt_fd_, POLLIN, 0});
}

std::chrono::milliseconds Manager::patience() const {
  if (mailboxes_.pending()) return kBusy;
  return interrupt_fd_ >= 0 ? kSafety : kPoll;
}

PortView Manager::show() {
  const Image found = read_image(bar_);
  PortView view = pf::show(bar_, found, nic_, config_);
  for (VfView& vf : view.vfs) {
    VfDriverView& driver = vf.driver.emplace(drivers_[vf.index]);
    driver.ready = states_[vf.index].clear_to_send;
    driver.api = hw::ixgbe::mbx::text_of(states_[vf.index].api);
  }
  view.wanted_rules = taps_.rules;
  view.drift = drift(found);
  return view;
}

std::vector<Drift> Manager::drift(const Image& found) const {
  Image wanted = image_;
  for (const Field field : {Field::vfte, Field::vfre}) {  // the device moves these itself
    for (std::uint16_t i = 0; i < info(field).count; ++i) wanted.at(field, i) = found.at(field, i);
  }
  std::vector<Drift> out;
  for (unsigned f = 0; f < kFields; ++f) {
    const auto field = static_cast<Field>(f);
    for (std::uint16_t i = 0; i < info(field).count && out.size() < kMostDrift; ++i) {
      if (wanted.at(field, i) == found.at(field, i)) continue;
      const Cell cell{field, i};
      out.push_back({cell.name(), std::string(info(field).meaning), wanted.at(field, i), found.at(field, i)});
    }
  }
  return out;
}

void Manager::service() {
  if (interrupt_fd_ >= 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto n = ::read(interrupt_fd_, &count, sizeof(count));  // empty is fine: it only wakes us
  }
  (void)bar_.read(reg::EICR);  // clears; what happened is asked of the registers that know
  const bool link = (bar_.read(reg::LINKS) & hw::ixgbe::Links::up) != 0;
  if (!alive()) return;  // everything reads as ones now
  const auto now = Clock::now();
  mailboxes_.service(now);
  if (link == link_) return;
  link_ = link;
  log::info("{}: link {}", function_.name(), link ? "up" : "down");
  mailboxes_.ping_all(false, now);
}

void Manager::stop() {
  if (!alive()) return;
  if (auto reverted = revert(); !reverted) log::warning("revert at the end: {}", reverted.error().text);
  for (VfState& state : states_) state.clear_to_send = false;
  mailboxes_.ping_all(true, Clock::now());
  for (int i = 0; i < kFarewellPasses && mailboxes_.pending(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    mailboxes_.service(Clock::now());
  }
  tear_down(function_, bar_);
}

MailboxPolicy Manager::policy(unsigned vf) const {
  MailboxPolicy policy;
  const PoolMode& mode = pool_mode(nic_, config_.vfs);
  policy.vf = config_.vf[vf];
  policy.queues_per_pool = mode.queues;
  policy.port_frame = config_.mtu + kFrameOverhead;
  policy.largest_frame = nic_.largest_frame;
  policy.one_frame_size = nic_.one_frame_size;
  policy.unicast_promiscuous = nic_.vf_unicast_promiscuous;
  policy.foreign_macs.push_back(
      hw::Mac::unpack(std::uint64_t{image_.at(Field::rah, 0) & 0xffff} << 32 | image_.at(Field::ral, 0)));
  std::size_t extra = 0;
  for (unsigned v = 0; v < config_.vfs; ++v) {
    extra += states_[v].extra_macs.size();
    policy.known_vlans.insert(policy.known_vlans.end(), states_[v].vlans.begin(), states_[v].vlans.end());
    if (config_.vf[v].vlan) policy.known_vlans.push_back(*config_.vf[v].vlan);
    if (v == vf) continue;
    if (config_.vf[v].mac) policy.foreign_macs.push_back(*config_.vf[v].mac);
    if (states_[v].mac) policy.foreign_macs.push_back(*states_[v].mac);
    policy.foreign_macs.insert(policy.foreign_macs.end(), states_[v].extra_macs.begin(), states_[v].extra_macs.end());
  }
  policy.extra_macs_free = nic_.addresses - 1 - config_.vfs - static_cast<unsigned>(extra);
  std::sort(policy.known_vlans.begin(), policy.known_vlans.end());
  const auto last = std::unique(policy.known_vlans.begin(), policy.known_vlans.end());
  policy.known_vlans.erase(last, policy.known_vlans.end());
  policy.vlan_entry_free = policy.known_vlans.size() < nic_.pool_vlans;
  for (const std::uint16_t vid : reserved_vlans(config_)) {
    if (config_.vf[vf].vlan != vid) policy.foreign_vlans.push_back(vid);
  }
  policy.reta = rss_table(mode);
  policy.rss_key = rss_key();
  return policy;
}

Result<Done> Manager::set_state(unsigned vf, const VfState& next, bool program) {
  if (!program) {
    states_[vf] = next;
    return Done{};
  }
  std::vector<VfState> states = states_;
  states[vf] = next;
  refresh_enables(bar_, image_);
  const Desired desired = desired_image(nic_, config_, states, taps_, image_);
  if (!desired.misfits.empty()) return work_error(desired.misfits.front());
  const auto changes = difference(image_, desired.image);
  // Not journaled: a crash loses what VFs were granted in any case, and they reset when the next PF comes up.
  if (auto applied = apply_changes(bar_, changes); !applied) {
    image_ = read_image(bar_);
    return applied.error();
  }
  image_ = desired.image;
  states_ = std::move(states);
  return Done{};
}

void Manager::remark(unsigned vf, Event event, const std::string& text) {
  totals_.vf_resets += event == Event::reset ? 1 : 0;
  totals_.refusals += event == Event::refusal ? 1 : 0;
  if (event == Event::reset) drivers_[vf].wants_promiscuous = false;
  if (event == Event::refusal) {
    ++drivers_[vf].refusals;
    drivers_[vf].last_refusal = text;
  }
  Voice& voice = voices_[vf];
  const auto now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - voice.last).count();
  voice.tokens = std::min(kVoiceBurst, voice.tokens + seconds * kVoiceRate);
  voice.last = now;
  if (voice.tokens < 1) {
    ++voice.suppressed;
    return;
  }
  voice.tokens -= 1;
  if (voice.suppressed > 0) {
    log::info("VF {}: {} lines like the last ones left out", vf, std::exchange(voice.suppressed, 0));
  }
  log::info("{}", text);
}

void Manager::wants_promiscuous(unsigned vf, bool wanted) { drivers_[vf].wants_promiscuous = wanted; }

}  // namespace vigia::pf
