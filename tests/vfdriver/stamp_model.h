// SPDX-License-Identifier: Apache-2.0
// A cable, a device and a polling thread in numbers, the same on every machine: for each frame the moment at which it
// had arrived whole, for each look what the polling thread would have seen. Policies are judged on it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "vfdriver/stamp_policy.h"

namespace vigia::vf::test {

struct Arrival {
  double ns;  // end of the frame on the cable
  std::uint32_t bytes;
};

constexpr double kNsPerByte = 0.8;  // 10 Gb/s
inline double on_wire(std::uint32_t bytes) { return kNsPerByte * (bytes + kWireOverhead); }

// Frames in order of their wished beginnings, put on a cable that carries one at a time.
class Cable {
 public:
  void send(double wished_begin, std::uint32_t bytes) {
    const double begin = std::max(free_, wished_begin);
    free_ = begin + on_wire(bytes);
    frames_.push_back({begin + kNsPerByte * (8 + bytes + 4), bytes});
  }
  double free_at() const { return free_; }
  std::vector<Arrival> take() { return std::move(frames_); }

 private:
  double free_ = 0;
  std::vector<Arrival> frames_;
};

// Frames of one size, evenly, at that share of the link.
inline std::vector<Arrival> constant(std::uint32_t bytes, double load, std::size_t count) {
  Cable cable;
  for (std::size_t i = 0; i < count; ++i) cable.send(static_cast<double>(i) * on_wire(bytes) / load, bytes);
  return cable.take();
}

// Sizes as on the Internet (7:4:1), evenly by bytes.
inline std::vector<Arrival> imix(double load, std::size_t count) {
  Cable cable;
  std::mt19937_64 dice(7);
  double at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto throw_of = dice() % 12;
    const std::uint32_t bytes = throw_of < 7 ? 60 : throw_of < 11 ? 590 : 1514;
    cable.send(at, bytes);
    at += on_wire(bytes) / load;
  }
  return cable.take();
}

// Transfers: trains of 1 to 40 frames back to back, silences between them of exponential length.
inline std::vector<Arrival> trains(double load, std::size_t count) {
  Cable cable;
  std::mt19937_64 dice(11);
  double at = 0;
  std::size_t i = 0;
  while (i < count) {
    const auto length = 1 + dice() % 40;
    const bool large = dice() % 2 == 0;
    double busy = 0;
    for (std::uint64_t k = 0; k < length; ++k, ++i) {
      const std::uint32_t bytes = large ? 1514 : 60 + static_cast<std::uint32_t>(dice() % 600);
      cable.send(at, bytes);
      busy += on_wire(bytes);
    }
    const double u = static_cast<double>(dice() >> 11) * 0x1p-53;
    at = std::max(at, cable.free_at()) + busy * (1 / load - 1) * -std::log(1 - u);
  }
  return cable.take();
}

// What stands between the cable and the stamps. Nanoseconds.
struct Machine {
  double device_base = 100, device_frame = 0;  // a frame is shown so long after its end; of a batch, for each frame
  double device_jitter = 0;                    // up to so much more, by chance; order is kept
  bool batches = false;                        // frames are shown when the device has gone round all it had to do
  double pause_every = 0, pause = 0;           // with batches: the device is away: how often, how long
  double look = 40, burst = 60, frame = 20, byte = 0.03;  // the polling thread's costs
  double stall_every = 0, stall = 0;                      // the polling thread is away: how often, how long
};

struct Errors {
  double mean = 0, sd = 0, p50 = 0, p99 = 0, max = 0;  // of |error - mean| the last three
};

// When the device shows each frame.
inline std::vector<double> shown(const std::vector<Arrival>& arrivals, const Machine& m) {
  std::vector<double> at;
  at.reserve(arrivals.size());
  if (!m.batches) {
    std::mt19937_64 dice(13);
    for (const Arrival& a : arrivals) {
      const double jitter = m.device_jitter * static_cast<double>(dice() >> 11) * 0x1p-53;
      at.push_back(std::max(a.ns + m.device_base + jitter, at.empty() ? 0 : at.back()));
    }
    return at;
  }
  double now = 0, next_pause = m.pause_every;
  for (std::size_t i = 0; i < arrivals.size();) {
    if (m.pause_every > 0 && now >= next_pause) {
      now += m.pause;
      next_pause = now + m.pause_every;
    }
    // A round takes what has arrived before it began, and shows it at its end.
    if (arrivals[i].ns > now) now += std::ceil((arrivals[i].ns - now) / m.device_base) * m.device_base;
    std::size_t n = 0;
    while (i + n < arrivals.size() && n < 64 && arrivals[i + n].ns <= now) ++n;
    now += m.device_base + m.device_frame * static_cast<double>(n);
    at.insert(at.end(), n, now);
    i += n;
  }
  return at;
}

inline std::vector<double> errors_of(StampPolicy& policy, const std::vector<Arrival>& arrivals, const Machine& m) {
  constexpr std::uint64_t kEpoch = 1'700'000'000'000'000'000;
  constexpr std::size_t kBurst = 32;
  constexpr double kDoneBit = 4;  // reading one
  const auto clock = [](double ns) { return kEpoch + static_cast<std::uint64_t>(std::llround(ns)); };
  const std::vector<double> seen_at = shown(arrivals, m);
  std::vector<double> errors;
  errors.reserve(arrivals.size());
  double now = 0, next_stall = m.stall_every;
  std::mt19937_64 dice(3);
  for (std::size_t i = 0; i < arrivals.size();) {
    if (m.stall_every > 0 && now >= next_stall) {
      now += m.stall;
      next_stall = now + m.stall_every;
    }
    // Looks that find nothing: the last one before the frame is shown is the one that counts.
    if (seen_at[i] > now) {
      const double phase = m.look * static_cast<double>(dice() >> 11) * 0x1p-53;  // other work of the same core
      double last = now + phase;
      if (seen_at[i] > last) last += std::floor((seen_at[i] - last) / m.look) * m.look;
      policy.found_nothing(clock(last));
      now = std::max(last + m.look, seen_at[i]);
    }
    Look look{clock(now), 0, 0, 0, false};
    while (look.frames < kBurst && i + look.frames < arrivals.size() && seen_at[i + look.frames] <= now) {
      look.bytes += arrivals[i + look.frames].bytes;
      ++look.frames;
      now += kDoneBit;
    }
    look.end_ns = clock(now);
    look.full = look.frames == kBurst;
    BurstStamps stamps = policy.found(look);
    for (std::uint32_t k = 0; k < look.frames; ++k, ++i) {
      const std::uint64_t stamp = stamps.next(arrivals[i].bytes).total_ns();
      errors.push_back(static_cast<double>(stamp - kEpoch) - arrivals[i].ns);
    }
    now += m.burst + m.frame * look.frames + m.byte * static_cast<double>(look.bytes);
  }
  return errors;
}

inline Errors summary(std::vector<double> errors) {
  Errors e;
  // What the policies learn from the first frames, some 700 us of the shortest, is not what is judged.
  errors.erase(errors.begin(), errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2));
  for (const double x : errors) e.mean += x / static_cast<double>(errors.size());
  for (double& x : errors) {
    x = std::abs(x - e.mean);
    e.sd += x * x / static_cast<double>(errors.size());
  }
  e.sd = std::sqrt(e.sd);
  std::sort(errors.begin(), errors.end());
  e.p50 = errors[errors.size() / 2];
  e.p99 = errors[errors.size() * 99 / 100];
  e.max = errors.back();
  return e;
}

inline Errors judge(ClockPolicy policy, const std::vector<Arrival>& arrivals, const Machine& machine) {
  StampPolicy stamps(policy, 10'000);
  return summary(errors_of(stamps, arrivals, machine));
}

}  // namespace vigia::vf::test
