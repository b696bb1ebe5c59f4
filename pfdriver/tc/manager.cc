// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/tc/manager.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "hw/log.h"
#include "pfdriver/vf_state.h"

namespace vigia::pf {
namespace {

std::vector<std::string> interfaces_of(const PfConfig& config) {
  std::vector<std::string> out;
  for (const VfConfig& vf : config.vf) out.push_back(vf.interface);
  return out;
}

}  // namespace

Result<std::unique_ptr<TcManager>> TcManager::start(std::unique_ptr<TrafficControl> control,
                                                    std::unique_ptr<RouteNetlink> netlink, const PfConfig& config) {
  std::unique_ptr<TcManager> manager(new TcManager(std::move(control), std::move(netlink)));
  const auto left = remove_all_mirrors(*manager->control_);
  if (!left) return left.error();
  for (const std::string& line : *left) log::info("left by an ended vigia-pf: {}", line);
  manager->config_ = without_taps(config);
  if (auto applied = manager->apply(config); !applied) return applied.error();
  return manager;
}

TcPlan TcManager::draft(const PfConfig& config) const {
  TcPlan plan;
  if (config.generator != GeneratorKind::tc) {
    plan.refusals.push_back(fmt::format("pf.generator: {} is wanted, and vigia-pf runs as tc; end it and start it anew",
                                        generator_word(config.generator)));
    return plan;
  }
  plan = plan_mirrors(config, interfaces_of(config));
  for (const VfConfig& vf : config.vf) {
    if (control_->index_of(vf.interface) != 0) continue;
    plan.refusals.push_back(
        fmt::format("pf.vf: {}: there is no interface {}; start the guest first, or correct the name "
                    "(`ip link` lists interfaces)",
                    vf.title(), vf.interface));
  }
  return plan;
}

Plan TcManager::plan(const PfConfig& config) const {
  Plan plan;
  TcPlan wanted = draft(config);
  plan.refusals = std::move(wanted.refusals);
  plan.warnings = std::move(wanted.warnings);
  plan.scopes = std::move(wanted.scopes);
  if (!plan.applicable()) return plan;
  const TcMirrors::Difference changes = mirrors_.difference(wanted.filters);
  for (const MirrorFilter& f : changes.remove) plan.lines.push_back({f.title(), "mirrored", "not", "tc mirred"});
  for (const MirrorFilter& f : changes.add) plan.lines.push_back({f.title(), "not", "mirrored", "tc mirred"});
  return plan;
}

Result<Plan> TcManager::apply(const PfConfig& config) {
  Plan plan = this->plan(config);
  if (auto possible = verdict(plan); !possible) return possible.error();
  // What an administrator removed is asked for again.
  if (!overruled_.empty()) {
    if (auto made = mirrors_.make({}); !made) return made.error();
  }
  if (auto made = mirrors_.make(draft(config).filters); !made) return made.error();
  config_ = config;
  scopes_ = plan.scopes;
  overruled_.clear();
  return plan;
}

void TcManager::add_to(std::vector<pollfd>& fds) const {
  if (netlink_->event_fd() >= 0) fds.push_back({netlink_->event_fd(), POLLIN, 0});
}

void TcManager::service() {
  (void)netlink_->take_events();
  const TcMirrors::Look look = mirrors_.keep();
  for (const MirrorFilter& f : look.again) {
    ++totals_.drifts;
    log::info("drift {}: an interface of the mirror {} had gone and is back; made again", totals_.drifts, f.title());
  }
  std::vector<Overruled> found;
  for (const MirrorFilter& f : look.removed) found.push_back({"mirror " + f.title(), "there", "removed"});
  for (const MirrorFilter& f : look.waiting) found.push_back({"mirror " + f.title(), "there", "an interface is gone"});
  for (const Overruled& o : found) {
    if (std::find(overruled_.begin(), overruled_.end(), o) != overruled_.end()) continue;
    ++totals_.overruled;
    log::warning("{}: {}; {}", o.what, o.found,
                 o.found == "removed" ? "somebody did that and it is left so; `vigia pf apply` makes it again"
                                      : "it is made again when the interface is back");
  }
  overruled_ = std::move(found);
}

PortView TcManager::show() {
  PortView view;
  view.generator = GeneratorKind::tc;
  view.up = view.link = view.loopback = true;
  view.scopes = scopes_;
  view.drifts = totals_.drifts;
  view.overruled = overruled_;
  const std::vector<FoundFilter> counters = mirrors_.counters();
  for (std::size_t i = 0; i < counters.size() && i < view.scopes.size(); ++i) {
    view.scopes[i] += fmt::format("; {} copies sent, {} could not be", counters[i].frames, counters[i].failed);
  }
  view.mirrors = mirrors_.in_force();
  for (const VfConfig& vf : config_.vf) {
    VfView& out = view.vfs.emplace_back();
    out.index = vf.index;
    // As pf.yaml says: the guest's own address is behind its interface, where the host does not see it.
    if (vf.mac) out.macs.push_back(*vf.mac);
    const auto link = netlink_->link(vf.interface);
    if (!link) continue;
    out.receive = out.transmit = link.value().up;
    out.broadcast = out.all_multicast = out.untagged = out.drop_when_full = true;
    view.max_frame = std::max(view.max_frame, link.value().mtu + kFrameOverhead);
  }
  return view;
}

void TcManager::stop() {
  if (auto removed = mirrors_.make({}); !removed) log::warning("removing the mirrors: {}", removed.error().text);
}

}  // namespace vigia::pf
