// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/reference_clock.h"

#include <cpuid.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/ptp_clock.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <optional>

namespace vigia::vf {

// Looks so far apart have the clock set between them, or the thread kept away.
constexpr std::int64_t kSetNs = 1'000'000;

ClockSample middle_of(std::span<const ClockSample> looks) noexcept {
  const ClockSample& best = *std::min_element(
      looks.begin(), looks.end(), [](const auto& a, const auto& b) { return a.width_ticks < b.width_ticks; });
  std::int64_t count = 0, ticks = 0, ns = 0;  // sums, of distances to the best look
  for (const ClockSample& look : looks) {
    const auto apart = static_cast<std::int64_t>(look.real_ns - best.real_ns);
    if (look.width_ticks > best.width_ticks + best.width_ticks / 2 || std::abs(apart) > kSetNs) continue;
    ++count;
    ticks += static_cast<std::int64_t>(look.ticks - best.ticks);
    ns += apart;
  }
  return {best.ticks + static_cast<std::uint64_t>(ticks / count), best.real_ns + static_cast<std::uint64_t>(ns / count),
          best.width_ticks};
}

namespace {

constexpr int kLooks = 32;
constexpr unsigned kPtpLooks = 10;
constexpr std::uint64_t kSecond = 1'000'000'000;

std::uint64_t ns_of(const timespec& t) {
  return static_cast<std::uint64_t>(t.tv_sec) * kSecond + static_cast<std::uint64_t>(t.tv_nsec);
}
std::uint64_t ns_of(const ptp_clock_time& t) { return static_cast<std::uint64_t>(t.sec) * kSecond + t.nsec; }

// Several looks at a clock of the system, or of a descriptor, as one; nothing when it cannot be read.
std::optional<ClockSample> look_at(clockid_t clock, TickSource source) {
  std::array<ClockSample, kLooks> looks;
  for (ClockSample& look : looks) {
    timespec t{};
    const std::uint64_t before = read_ticks(source);
    if (::clock_gettime(clock, &t) != 0) return std::nullopt;
    const std::uint64_t after = read_ticks(source);
    look = {before + (after - before) / 2, ns_of(t), after - before};
  }
  return middle_of(looks);
}

class RealTime final : public ReferenceClock {
 public:
  Result<ClockSample> sample(TickSource source) override {
    const auto best = look_at(CLOCK_REALTIME, source);
    if (!best) return os_error("read CLOCK_REALTIME");
    return *best;
  }
  std::string name() const override { return "CLOCK_REALTIME"; }
};

class PtpClock final : public ReferenceClock {
 public:
  PtpClock(Fd device, std::filesystem::path path, PtpIoctl ioctl)
      : device_(std::move(device)), path_(std::move(path)), ioctl_(std::move(ioctl)) {}

  Result<ClockSample> sample(TickSource source) override {
    // Which way a device offers does not change: what was refused once is not asked again.
    if (way_ == Way::precise) {
      if (auto got = precise(source)) return *got;
      way_ = Way::extended;
    }
    if (way_ == Way::extended) {
      if (auto got = extended(source)) return *got;
      way_ = Way::plain;
    }
    // A descriptor's clock: linux/posix-timers.h, FD_TO_CLOCKID.
    const auto id = static_cast<clockid_t>((~static_cast<unsigned>(device_.get()) << 3) | 3);
    if (auto got = look_at(id, source)) return *got;
    return os_error("read the PTP clock " + path_.string());
  }
  std::string name() const override { return "PTP clock " + path_.string(); }

 private:
  enum class Way { precise, extended, plain };

  // A moment of a clock of the system, told in ticks by looks just before and just after it.
  struct Between {
    ClockSample before, after;
    ClockSample at(std::uint64_t system_ns, std::uint64_t device_ns, std::uint64_t more_width_ns) const {
      const auto span_ns = static_cast<double>(after.real_ns - before.real_ns);
      const double rate = static_cast<double>(after.ticks - before.ticks) / span_ns;
      // Subtracted as integers: a double tells nanoseconds since 1970 apart by 256.
      const double in = static_cast<double>(static_cast<std::int64_t>(system_ns - before.real_ns)) * rate;
      return {before.ticks + static_cast<std::uint64_t>(std::max(in, 0.0)), device_ns,
              std::max(before.width_ticks, after.width_ticks) +
                  static_cast<std::uint64_t>(static_cast<double>(more_width_ns) * rate)};
    }
  };
  template <class Argument>
  std::optional<Between> ask(unsigned long request, Argument& argument, clockid_t system, TickSource source) {
    const auto before = look_at(system, source);
    if (ioctl_(request, &argument) != 0) return std::nullopt;
    const auto after = look_at(system, source);
    if (!before || !after || after->real_ns <= before->real_ns) return std::nullopt;
    return Between{*before, *after};
  }

  std::optional<ClockSample> precise(TickSource source) {
    ptp_sys_offset_precise p{};
    const auto between = ask(PTP_SYS_OFFSET_PRECISE, p, CLOCK_MONOTONIC_RAW, source);
    if (!between) return std::nullopt;
    return between->at(ns_of(p.sys_monoraw), ns_of(p.device), 0);
  }

  std::optional<ClockSample> extended(TickSource source) {
    ptp_sys_offset_extended p{};
    p.n_samples = kPtpLooks;
    const auto between = ask(PTP_SYS_OFFSET_EXTENDED, p, CLOCK_REALTIME, source);
    if (!between) return std::nullopt;
    const auto width = [](const auto& look) { return ns_of(look[2]) - ns_of(look[0]); };
    const auto* best = &p.ts[0];
    for (unsigned i = 1; i < std::min<unsigned>(p.n_samples, kPtpLooks); ++i) {
      if (width(p.ts[i]) < width(*best)) best = &p.ts[i];
    }
    const std::uint64_t wide = width(*best);
    return between->at(ns_of((*best)[0]) + wide / 2, ns_of((*best)[1]), wide);
  }

  Fd device_;
  std::filesystem::path path_;
  PtpIoctl ioctl_;
  Way way_ = Way::precise;
};

}  // namespace

TickSource best_tick_source() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  // Intel SDM vol. 3, 18.17.1: CPUID.80000007H:EDX[8], invariant TSC.
  if (__get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & 1u << 8) != 0) return TickSource::tsc;
  return TickSource::monotonic;
}

std::string describe(TickSource source) {
  if (source == TickSource::tsc) return "tsc";
  std::ifstream in("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  std::string kernel;
  in >> kernel;
  return kernel.empty() ? "CLOCK_MONOTONIC_RAW" : "CLOCK_MONOTONIC_RAW on " + kernel;
}

std::unique_ptr<ReferenceClock> real_time_reference() { return std::make_unique<RealTime>(); }

std::unique_ptr<ReferenceClock> ptp_reference(Fd device, std::filesystem::path path, PtpIoctl ioctl) {
  return std::make_unique<PtpClock>(std::move(device), std::move(path), std::move(ioctl));
}

Result<std::unique_ptr<ReferenceClock>> open_ptp_reference(const std::filesystem::path& path) {
  Fd device(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!device) {
    return input_error(os_error("open the PTP clock " + path.string()).text + "; there is one per file /dev/ptp*");
  }
  ptp_clock_caps caps{};
  if (::ioctl(device.get(), PTP_CLOCK_GETCAPS, &caps) != 0) {
    return input_error(os_error("ask " + path.string() + " for a PTP clock's abilities").text +
                       "; name a PTP clock, /dev/ptp0");
  }
  const int fd = device.get();
  return ptp_reference(std::move(device), path,
                       [fd](unsigned long request, void* argument) { return ::ioctl(fd, request, argument); });
}

}  // namespace vigia::vf
