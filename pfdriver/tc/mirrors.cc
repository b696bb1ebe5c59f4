// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/tc/mirrors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace vigia::pf {
namespace {

// Before those that tc numbers by itself (from 49152 down), so that we see a frame before another filter drops it.
constexpr std::uint16_t kFirstPriority = 4000;
constexpr std::size_t kMostFilters = 256;

bool in(const std::vector<MirrorFilter>& list, const MirrorFilter& filter) {
  return std::find(list.begin(), list.end(), filter) != list.end();
}

}  // namespace

std::string MirrorFilter::title() const {
  return fmt::format("{} {} to {}", from, hook == Hook::ingress ? "ingress" : "egress", to);
}

TcPlan plan_mirrors(const PfConfig& config, const std::vector<std::string>& interface_of) {
  TcPlan plan;
  std::set<std::tuple<unsigned, Hook, unsigned>> done;  // a tenant's direction goes to an agent once
  for (const Tap& tap : config.taps) {
    const VfConfig& agent = config.vf[tap.to];
    if (tap.port) {
      plan.refusals.push_back(
          fmt::format("tap {}: tc copies what interfaces of guests carry; name them by from: [..]", tap.name));
      continue;
    }
    for (const unsigned vf : tap.from) {
      const auto mirror = [&](Hook hook, std::string_view words) {
        if (!done.emplace(vf, hook, tap.to).second) return;
        const auto priority = static_cast<std::uint16_t>(kFirstPriority + plan.filters.size());
        plan.filters.push_back({interface_of[vf], hook, interface_of[tap.to], priority, vf, tap.to});
        plan.scopes.push_back(fmt::format("tc -> {} ({}): every frame that {} {}, by its interface {}", agent.title(),
                                          interface_of[tap.to], config.vf[vf].title(), words, interface_of[vf]));
      };
      // The host's egress is what the guest receives.
      if (tap.wants_rx()) mirror(Hook::egress, "receives");
      if (tap.wants_tx()) mirror(Hook::ingress, "sends");
    }
  }
  if (plan.filters.size() > kMostFilters) {
    plan.refusals.push_back(
        fmt::format("taps: {} mirrors are needed, {} are possible", plan.filters.size(), kMostFilters));
  }
  for (const MirrorFilter& filter : plan.filters) {
    for (const std::string& interface : {filter.from, filter.to}) {
      if (interface.empty()) plan.refusals.push_back("taps: a VF has no interface on this host that tc could mirror");
    }
  }
  return plan;
}

Result<Done> TcMirrors::add(const MirrorFilter& filter) {
  for (const std::string& interface : {filter.from, filter.to}) {
    if (control_->index_of(interface) == 0) {
      return Error{std::errc::no_such_device,
                   fmt::format("mirror {} to {}: there is no interface {}", filter.from, filter.to, interface)};
    }
  }
  auto hooks = control_->need_hooks(filter.from);
  if (!hooks) return hooks.error();
  if (*hooks) hooks_[filter.from] = control_->index_of(filter.from);
  // What an earlier life left in our place.
  const auto there = control_->ours(filter.from, filter.hook);
  if (!there) return there.error();
  for (const FoundFilter& found : *there) {
    if (found.priority != filter.priority) continue;
    if (auto removed = control_->remove(filter.from, filter.hook, filter.priority); !removed) return removed.error();
  }
  if (auto added = control_->add(filter, matcher_); !added) return added.error();
  const auto read = control_->ours(filter.from, filter.hook);
  if (!read) return read.error();
  const int to = control_->index_of(filter.to);
  const bool found = std::any_of(read.value().begin(), read.value().end(), [&](const FoundFilter& f) {
    return f.priority == filter.priority && f.to_index == to;
  });
  if (!found) return work_error(fmt::format("mirror {} to {}: written, but not read back", filter.from, filter.to));
  made_[filter.priority] = {filter, control_->index_of(filter.from), to};
  return Done{};
}

void TcMirrors::remove(const MirrorFilter& filter) {
  const auto made = made_.find(filter.priority);
  if (made == made_.end()) return;
  const int index = control_->index_of(filter.from);
  // With an interface its filters are gone.
  if (index == made->second.from_index) (void)control_->remove(filter.from, filter.hook, filter.priority);
  made_.erase(made);
  const auto hooks = hooks_.find(filter.from);
  const bool last =
      std::none_of(made_.begin(), made_.end(), [&](const auto& m) { return m.second.filter.from == filter.from; });
  if (hooks == hooks_.end() || !last) return;
  if (index == hooks->second) (void)control_->drop_hooks(filter.from);
  hooks_.erase(hooks);
}

TcMirrors::Difference TcMirrors::difference(const std::vector<MirrorFilter>& filters) const {
  Difference out;
  for (const MirrorFilter& old : filters_) {
    if (!in(filters, old)) out.remove.push_back(old);
  }
  for (const MirrorFilter& filter : filters) {
    if (!in(filters_, filter) || made_.count(filter.priority) == 0) out.add.push_back(filter);
  }
  return out;
}

Result<Done> TcMirrors::make(const std::vector<MirrorFilter>& filters) {
  const Difference changes = difference(filters);
  for (const MirrorFilter& old : changes.remove) remove(old);
  for (std::size_t i = 0; i < changes.add.size(); ++i) {
    auto added = add(changes.add[i]);
    if (added) continue;
    for (std::size_t k = 0; k < i; ++k) remove(changes.add[k]);
    for (const MirrorFilter& old : changes.remove) (void)add(old);
    return added.error();
  }
  filters_ = filters;
  return Done{};
}

TcMirrors::Look TcMirrors::keep() {
  Look look;
  for (const MirrorFilter& filter : filters_) {
    const int from = control_->index_of(filter.from), to = control_->index_of(filter.to);
    const auto made = made_.find(filter.priority);
    if (from == 0 || to == 0) {
      look.waiting.push_back(filter);
      continue;
    }
    if (made != made_.end() && made->second.from_index == from && made->second.to_index == to) {
      const auto there = control_->ours(filter.from, filter.hook);
      const bool found = !there || std::any_of(there.value().begin(), there.value().end(),
                                               [&](const FoundFilter& f) { return f.priority == filter.priority; });
      if (!found) look.removed.push_back(filter);
      continue;
    }
    if (add(filter)) {
      look.again.push_back(filter);
    } else {
      look.waiting.push_back(filter);
    }
  }
  return look;
}

std::vector<FoundFilter> TcMirrors::counters() const {
  std::vector<FoundFilter> out;
  for (const MirrorFilter& filter : filters_) {
    FoundFilter& counted = out.emplace_back();
    counted.priority = filter.priority;
    const auto there = control_->ours(filter.from, filter.hook);
    if (!there) continue;
    for (const FoundFilter& found : *there) {
      if (found.priority == filter.priority) counted = found;
    }
  }
  return out;
}

std::vector<PortMirror> TcMirrors::in_force() const {
  std::vector<PortMirror> out;
  const std::vector<FoundFilter> found = counters();
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i].to_index == 0) continue;
    // The host's egress is what the guest receives.
    const MirrorFilter& filter = filters_[i];
    out.push_back({filter.vf, filter.agent, filter.hook == Hook::egress ? Direction::rx : Direction::tx});
  }
  return out;
}

Result<std::vector<std::string>> remove_all_mirrors(TrafficControl& control) {
  std::vector<std::string> out;
  for (const std::string& interface : control.interfaces()) {
    for (const Hook hook : {Hook::ingress, Hook::egress}) {
      const auto there = control.ours(interface, hook);
      if (!there) continue;  // no hooks, no filters
      for (const FoundFilter& found : *there) {
        if (auto removed = control.remove(interface, hook, found.priority); !removed) return removed.error();
        out.push_back(fmt::format("a mirror of {} is removed", interface));
      }
    }
  }
  return out;
}

}  // namespace vigia::pf
