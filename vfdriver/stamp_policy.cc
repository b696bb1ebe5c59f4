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
// A link is saturated when it is busy and frames follow each other without a gap but for silences that can be told from
// late looks: from the second figure on, until the third. Looked at for long, because looks are late by microseconds.
constexpr double kBusy = 0.85, kSaturated = 0.997, kNotSaturated = 0.993, kLongWindowNs = 1e6;
// Traffic is steady while less than this share of the time is silence: what is more than kPatience times as long as the
// frames after it take at the load of lately.
constexpr double kSteady = 0.05, kPatience = 2;
// Frames that a device held for longer than a batch came at the load of lately, or as a train of this load.
constexpr double kTrain = 0.5;
// A proof that a device reports in batches counts from here on: nanoseconds, less than the shortest frame takes.
constexpr double kProof = 10;
// What comes so much later than counted on from the frame before came after a silence. Less may be the look's own
// fault: an interrupt, a cache line from afar, a device that was away.
constexpr double kSilenceNs = 5'000;
// The count is behind when all looks of so much time, and so many of them, are later than it; when they are later by so
// much, their number is enough: the link is full no more.
constexpr std::uint64_t kCountWindowNs = 16'000;
constexpr unsigned kCountLooks = 8;
constexpr double kFarBehindNs = 1'000;
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
  // How much later than counted on from the last stamp the burst came. Of a full one only the first frame may tell.
  const double late = look.full ? empty - wire / look.frames : end - wire;
  const auto gap = static_cast<double>(limit_ - seen_);
  learn_silence(wire, gap);
  learn_load(wire, gap, look.full, late);
  if (!backlog) learn_hold(wire * (look.frames - 1) / look.frames, static_cast<double>(limit_ - not_before_));
  was_full_ = look.full;
  if (saturated_) {
    if (const auto shift = counted(look, late, end - wire)) return spread(*shift, wire + *shift, look);
    begin_window();
  }
  // Traffic without silences has none after the last frame either, however long the device held these.
  const bool steady = wire > 0 && !silent_.reaches(kSteady);
  double from = steady ? 0 : std::max(0.0, empty - hold_), to = end;
  // More frames wait: this burst's are the oldest of what has come since, at the rate at which frames came before.
  if (look.full && load() > 0) {
    to = std::min(end, from + wire / load());
    to += (end - to) * kCatchUp;
  }
  // They need at least their time on the wire.
  if (from > to - wire) from = std::clamp(to - wire / std::clamp(load(), kTrain, 1.0), 0.0, from);
  return spread(from, to, look);
}

// A saturated link: frames follow each other by their time on the wire, which is counted on from the last stamp. A look
// may be late for many reasons and is never early: a burst that was found before its time is not counted, which sets
// the count back, and the count goes on only by what all looks of a window were late. Returns by how much it does;
// nothing: the burst is not to be counted. behind: the count, of the look's end.
std::optional<double> StampPolicy::counted(const Look& look, double late, double behind) noexcept {
  if (behind < 0 || late >= kSilenceNs) return std::nullopt;
  if (look.full) return behind * kCatchUp;
  far_behind_ = late < kFarBehindNs ? 0 : far_behind_ + 1;
  if (far_behind_ == kCountLooks) {
    begin_window();
    return late;
  }
  least_late_ = looks_++ == 0 ? late : std::min(least_late_, late);
  if (looks_ < kCountLooks || limit_ - window_ < kCountWindowNs) return 0;
  begin_window();
  return least_late_;
}

void StampPolicy::begin_window() noexcept {
  window_ = limit_;
  looks_ = far_behind_ = 0;
}

void StampPolicy::Share::add(double more_part, double more_time, double window_ns) noexcept {
  part += more_part;
  time += more_time;
  if (time <= window_ns) return;
  // Half of the past is forgotten; a long silence leaves nothing of it.
  const double keep = window_ns / 2 / time;
  part *= keep;
  time *= keep;
}

void StampPolicy::learn_silence(double wire, double gap) noexcept {
  const double silence = gap * lately_.part - kPatience * wire * lately_.time;
  silent_.add(silence > 0 ? silence / lately_.part : 0, gap, kLongWindowNs);
}

// While frames wait their number says nothing of the rate at which they came; once the last one is taken, it does.
void StampPolicy::learn_load(double wire, double gap, bool full, double late) noexcept {
  all_.add(wire, gap, kLongWindowNs);
  unbroken_.add(wire, late < kSilenceNs ? gap : std::max(0.0, gap - late), kLongWindowNs);
  unbroken_.part = std::min(unbroken_.part, unbroken_.time);  // more came from a device that caught up
  saturated_ = unbroken_.time >= kLongWindowNs / 2 && all_.reaches(kBusy) &&
               unbroken_.reaches(saturated_ ? kNotSaturated : kSaturated);
  waited_.part += wire;
  waited_.time += gap;
  if (full && ++full_in_a_row_ < kLongestBacklog) return;
  full_in_a_row_ = 0;
  lately_.add(waited_.part, waited_.time, kLoadWindowNs);
  waited_ = {};
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
