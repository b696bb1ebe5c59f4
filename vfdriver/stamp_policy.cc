// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/stamp_policy.h"

#include <array>
#include <cmath>
#include <utility>

namespace vigia::vf {
namespace {

struct PolicyText {
  ClockPolicy policy;
  std::string_view name, meaning;
};
constexpr std::array kPolicies{
    PolicyText{ClockPolicy::kpt, "kpt", "each frame when the polling thread saw it"},
    PolicyText{ClockPolicy::udts, "udts", "bursts spread evenly over the time since the frame before"},
    PolicyText{ClockPolicy::wdts, "wdts",
               "bursts spread over the time since the frame before, by the frames' time on the wire"},
    PolicyText{ClockPolicy::hybrid, "hybrid",
               "single frames when the polling thread saw them, bursts spread over the time in which they can have "
               "arrived, by their time on the wire"},
};

// The load is looked at over some 30 us: a few bursts at full rate, and short against what a link idles between
// transfers.
constexpr double kLoadWindowNs = 32'000;
// From here on frames follow each other on the cable without a gap that a look could tell.
constexpr double kSaturated = 0.97;
// A proof that a device reports in batches counts from here on: nanoseconds, less than the shortest frame takes.
constexpr double kProof = 10;
// Of the distance between count and look, each burst corrects this share: an average over some 8 looks.
constexpr double kCorrection = 1.0 / 8;
// What looks and device blur anyway.
constexpr double kBlurNs = 30;
// Frames that waited: so much of the distance to now is made up with each burst, so that stamps do not stay behind when
// the polling thread never catches up.
constexpr double kCatchUp = 1.0 / 1024;
// Full bursts in a row that can be explained by one pause of the polling thread: the largest descriptor ring.
constexpr unsigned kLongestBacklog = 1024;

}  // namespace

std::string_view name_of(ClockPolicy policy) noexcept { return kPolicies[static_cast<std::size_t>(policy)].name; }
std::string_view meaning_of(ClockPolicy policy) noexcept { return kPolicies[static_cast<std::size_t>(policy)].meaning; }
std::optional<ClockPolicy> policy_of(std::string_view name) noexcept {
  for (const PolicyText& p : kPolicies) {
    if (p.name == name) return p.policy;
  }
  return std::nullopt;
}

StampPolicy::StampPolicy(ClockPolicy policy, unsigned link_mbps) noexcept
    : policy_(policy),
      per_frame_(policy == ClockPolicy::kpt || policy == ClockPolicy::udts ? 1 : kWireOverhead),
      per_byte_(policy == ClockPolicy::kpt || policy == ClockPolicy::udts ? 0 : 1),
      wire_ns_per_byte_(link_mbps == 0 ? 0 : 8e3 / link_mbps) {}

// from, to: nanoseconds after the last stamp; the burst's last frame gets `to`.
BurstStamps StampPolicy::spread(double from, double to, const Look& look) noexcept {
  constexpr double kUnits = 1u << BurstStamps::kShift, kLongest = BurstStamps::kLongestNs;
  std::uint64_t start = std::max(last_ + static_cast<std::uint64_t>(from), promised_);
  double length = std::max(0.0, to - static_cast<double>(start - last_));
  if (length > kLongest) {
    start += static_cast<std::uint64_t>(length - kLongest);
    length = kLongest;
  }
  // Signed: x86-64 converts unsigned 64-bit integers to and from double in a dozen instructions, signed ones in one.
  const auto weight = static_cast<std::int64_t>(per_frame_ * look.frames + per_byte_ * look.bytes);
  const auto units = static_cast<std::uint64_t>(
      static_cast<std::int64_t>(length * kUnits / static_cast<double>(std::max<std::int64_t>(weight, 1))));
  BurstStamps stamps(start, units * per_frame_, units * per_byte_);
  // The last stamp, as next() will say it.
  last_ = start + ((units * static_cast<std::uint64_t>(weight) + BurstStamps::kHalf) >> BurstStamps::kShift);
  return stamps;
}

BurstStamps StampPolicy::found(const Look& look) noexcept {
  // A first burst has nothing before it to be spread from.
  if (last_ == 0) last_ = not_before_ = seen_ = look.begin_ns;
  // A new line of the clock may begin a little behind the old one.
  limit_ = std::max({look.end_ns, seen_, promised_});
  not_before_ = std::min(not_before_, limit_);
  const auto end = static_cast<double>(limit_ - last_);
  const auto stamps = [&] {
    if (policy_ == ClockPolicy::hybrid) return found_hybrid(look);
    const bool seen = policy_ == ClockPolicy::kpt;
    return spread(seen ? static_cast<double>(std::clamp(look.begin_ns, last_, limit_) - last_) : 0, end, look);
  }();
  seen_ = limit_;
  if (!look.full) not_before_ = limit_;  // the look ended at a frame that was not there
  return stamps;
}

BurstStamps StampPolicy::found_hybrid(const Look& look) noexcept {
  const double wire = wire_ns_per_byte_ * static_cast<double>(look.bytes + std::uint64_t{kWireOverhead} * look.frames);
  const auto end = static_cast<double>(limit_ - last_);
  const double empty = not_before_ > last_ ? static_cast<double>(not_before_ - last_) : 0;
  const bool backlog = look.full || was_full_;
  learn_load(wire, static_cast<double>(limit_ - seen_), look.full);
  if (!backlog) learn_hold(wire * (look.frames - 1) / look.frames, static_cast<double>(limit_ - not_before_));
  was_full_ = look.full;
  if (!backlog && counts_on(end - wire)) {
    const double late = (end - wire) * kCorrection;
    return spread(late, wire + late, look);
  }
  double from = std::max(0.0, empty - hold_), to = end;
  // More frames wait: this burst's are the oldest of what has come since, at the rate at which frames came before.
  if (look.full && load() > 0) {
    to = std::min(end, from + wire / load());
    to += (end - to) * kCatchUp;
  }
  // They need at least their time on the wire.
  from = std::clamp(to - wire, 0.0, from);
  return spread(from, to, look);
}

// A saturated link: frames follow each other by their time on the wire, which is counted on from the last stamp; the
// looks only keep the count from drifting. late: how much later than counted the burst was seen.
bool StampPolicy::counts_on(double late) noexcept {
  const double most = 3 * jitter_ + kBlurNs;
  if (late >= 0 || jitter_ > 0) jitter_ += (std::min(std::abs(late), most) - jitter_) / 16;
  return load() >= kSaturated && late >= 0 && late <= most;
}

// While frames wait their number says nothing of the rate at which they came; once the last one is taken, it does.
void StampPolicy::learn_load(double wire, double gap, bool full) noexcept {
  waited_wire_ += wire;
  waited_time_ += gap;
  if (full && ++full_in_a_row_ < kLongestBacklog) return;
  full_in_a_row_ = 0;
  load_wire_ += std::exchange(waited_wire_, 0);
  load_time_ += std::exchange(waited_time_, 0);
  if (load_time_ > kLoadWindowNs) {
    // Half of the past is forgotten; a long silence leaves nothing of it.
    const double keep = kLoadWindowNs / 2 / load_time_;
    load_wire_ *= keep;
    load_time_ *= keep;
  }
}

// Done bits that appear together although the wire cannot have brought the frames since the last empty look: the device
// reports in batches. How long a batch takes is the distance of two, the short ones of those seen: a long one had a
// pause in it. Bursts closer together than that are proof against it.
void StampPolicy::learn_hold(double beyond_first, double since_empty) noexcept {
  const auto gap = static_cast<double>(limit_ - seen_);
  if (gap < hold_) {
    hold_ -= (hold_ - gap) / 4;
    return;
  }
  const double proven = beyond_first - since_empty;
  if (proven <= kProof) return;
  hold_ = std::max(hold_ + std::min(gap - hold_, std::max(hold_, proven)) / 8, std::min(proven, gap));
}

}  // namespace vigia::vf
