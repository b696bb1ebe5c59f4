// SPDX-License-Identifier: Apache-2.0
// What ticks are calibrated against: CLOCK_REALTIME, or a PTP clock device such as a NIC's or, in a guest, ptp_kvm's,
// which is the host's time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "hw/fd.h"
#include "hw/result.h"
#include "vfdriver/ticks.h"

namespace vigia::vf {

// One simultaneous look at both clocks: ticks were read before and after, width apart; the real time belongs to the
// middle, give or take half of width.
struct ClockSample {
  std::uint64_t ticks = 0, real_ns = 0, width_ticks = 0;
};

// The narrow ones of several looks, at least one, as one look in their middle. Where the counter moves in steps, of
// 10 ns on some processors, a narrow look by itself is wrong by up to such a step, a look of two steps and one of three
// in opposite ways, and their middle by less than 1 ns. Looks from beyond a moment at which the clock was set are left
// out.
ClockSample middle_of(std::span<const ClockSample> looks) noexcept;

// One thread.
class ReferenceClock {
 public:
  virtual ~ReferenceClock() = default;
  // The middle of several looks.
  virtual Result<ClockSample> sample(TickSource source) = 0;
  virtual std::string name() const = 0;  // "CLOCK_REALTIME", "PTP clock /dev/ptp0"
};

std::unique_ptr<ReferenceClock> real_time_reference();

// Reads by the best way that the device offers: PTP_SYS_OFFSET_PRECISE (the device's and the system's clock latched
// together), PTP_SYS_OFFSET_EXTENDED (the system's clock before and after, in the kernel), clock_gettime(). Source:
// linux/ptp_clock.h. A path that is no PTP clock, or cannot be read, is an input error.
Result<std::unique_ptr<ReferenceClock>> open_ptp_reference(const std::filesystem::path& device);

// ioctl(2) on the device: 0, or -1 and errno. For tests.
using PtpIoctl = std::function<int(unsigned long request, void* argument)>;
std::unique_ptr<ReferenceClock> ptp_reference(Fd device, std::filesystem::path path, PtpIoctl ioctl);

}  // namespace vigia::vf
