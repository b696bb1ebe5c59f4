// SPDX-License-Identifier: Apache-2.0
// What every stamp policy makes of the same looks at a port (benchmarks/parts/timestamps.py): polls as the engine does,
// copies the frames as it does, keeps the times of its looks, and lets each policy judge them afterwards. So policies
// are compared on the same frames of the same run.
//
// usage: stamp_looks DEVICE FRAMES OUT CPU TRIGGER: as soon as that CPU looks at DEVICE it opens TRIGGER, another
// function of the device, for which the wire waits. Ends after FRAMES frames, or half a second after the last one. OUT:
// per frame u32 bytes, u32 flag, and a u64 for each of kpt, udts, wdts, hybrid: nanoseconds. Flag 1: the thread was
// kept from its loop for longer than 5 us while the frame came, or has found frames at each look since; a round takes
// 4 us at most, so that was not the loop.
#include <fmt/core.h>
#include <pthread.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "vfdriver/frame_clock.h"
#include "vfdriver/ring.h"
#include "vfdriver/vf_device.h"

namespace {

using namespace vigia;
using std::chrono::steady_clock;

constexpr std::size_t kBurst = 32;
constexpr std::size_t kCopyBytes = 64u << 20;  // leaves the caches, as a ring does
constexpr std::chrono::milliseconds kCalibrateEvery{250}, kQuiet{500}, kPatience{60'000};
constexpr std::uint64_t kPauseNs = 5'000;

struct Seen {
  std::uint64_t empty_ns;  // 0: the look before found frames too
  vf::Look look;
  bool paused;
};
struct Row {
  std::uint32_t bytes, paused;
  std::array<std::uint64_t, 4> stamps;
};

struct Recording {
  std::vector<Seen> looks;
  std::vector<std::uint32_t> bytes;
};

// All memory of a recording, touched: the wire starts when the port is open, and must not wait for that.
struct Room {
  explicit Room(std::size_t frames) : copies(kCopyBytes + vf::kMaxRecord, std::byte{1}) {
    recording.looks.resize(frames);
    recording.looks.clear();
    recording.bytes.resize(frames + kBurst);
    recording.bytes.clear();
  }
  Recording recording;
  std::vector<std::byte> copies;
};

// One thread does it all: a calibration costs some microseconds, four times a second, and counts as a pause.
void record(vf::RxPort& port, vf::Clock& clock, std::size_t frames, Room& room, std::atomic<bool>& looking) {
  Recording& r = room.recording;
  std::vector<std::byte>& copies = room.copies;
  std::array<vf::RxSegment, kBurst> segments;
  std::uint64_t round = 0;  // begin of the last one
  bool paused = false;
  std::size_t at = 0;
  std::uint64_t empty = 0;
  auto last = steady_clock::now() + kPatience - kQuiet, next = steady_clock::now();
  for (std::uint64_t turn = 0; r.bytes.size() < frames; ++turn) {
    const std::uint64_t begin = vf::read_ticks(clock.source());
    if (round != 0 && clock.line().ns_at(begin) - clock.line().ns_at(round) > kPauseNs) paused = true;
    round = begin;
    const std::size_t n = port.receive(segments);
    if (n == 0) {
      empty = begin;
      paused = false;
      if ((turn & 0xff) != 0) continue;
      looking = true;
      const auto now = steady_clock::now();
      if (now > last + kQuiet || !port.alive()) break;
      if (now >= next) {
        clock.calibrate();
        clock.refresh();
        next = now + kCalibrateEvery;
      }
      continue;
    }
    const std::uint64_t end = vf::read_ticks(clock.source());
    const vf::ClockLine& line = clock.line();
    if (line.ns_at(end) - line.ns_at(begin) > kPauseNs) paused = true;
    vf::Look look{line.ns_at(begin), line.ns_at(end), 0, 0, n == kBurst};
    std::uint32_t length = 0;
    for (const vf::RxSegment& segment : std::span(segments).first(n)) {
      vf::copy_frame(copies.data() + at + vf::kRecordHeader, segment.data, segment.length);
      at = (at + vf::kRecordHeader + segment.length) % kCopyBytes;
      length += segment.length;
      if (!segment.end_of_frame) continue;
      ++look.frames;
      look.bytes += length;
      r.bytes.push_back(std::exchange(length, 0));
    }
    port.release();
    r.looks.push_back({empty != 0 ? line.ns_at(empty) : 0, look, paused});
    empty = 0;
    if ((turn & 0xf) == 0) last = steady_clock::now();
  }
}

std::vector<Row> judge(const Recording& r, unsigned link_mbps) {
  std::vector<Row> rows(r.bytes.size());
  for (const vf::ClockPolicy name :
       {vf::ClockPolicy::kpt, vf::ClockPolicy::udts, vf::ClockPolicy::wdts, vf::ClockPolicy::hybrid}) {
    vf::StampPolicy policy(name, link_mbps);
    std::size_t i = 0;
    for (const Seen& seen : r.looks) {
      if (seen.empty_ns != 0) policy.found_nothing(seen.empty_ns);
      vf::BurstStamps stamps = policy.found(seen.look);
      for (std::uint32_t k = 0; k < seen.look.frames; ++k, ++i) {
        rows[i].bytes = r.bytes[i];
        rows[i].paused = seen.paused;
        rows[i].stamps[static_cast<std::size_t>(name)] = stamps.next(r.bytes[i]).total_ns();
      }
    }
  }
  return rows;
}

int fail(const std::string& text) {
  fmt::print(stderr, "stamp_looks: {}\n", text);
  return 1;
}

// This thread runs there, before ordinary ones where that is allowed: else there are more pauses.
bool run_on(unsigned cpu, int priority) {
  sched_param ahead{};
  ahead.sched_priority = priority;
  (void)::pthread_setschedparam(::pthread_self(), SCHED_FIFO, &ahead);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return ::pthread_setaffinity_np(::pthread_self(), sizeof(set), &set) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return fail("usage: stamp_looks DEVICE FRAMES OUT CPU TRIGGER");
  const std::size_t frames = std::strtoull(argv[2], nullptr, 10);
  const auto cpu = static_cast<unsigned>(std::atoi(argv[4]));
  Room room(frames);
  vf::Clock clock;
  vf::PortOptions options;
  options.rx_ring = 4096;  // a larger one leaves the caches, and the device comes late for each frame
  options.tx_ring = 0;
  auto device = vf::open_port(argv[1], options);
  if (!device) return fail(device.error().text);
  const auto info = (*device)->info();
  if (!info) return fail(info.error().text);
  std::atomic<bool> looking{false}, pinned{true};
  std::thread looks([&] {
    pinned = run_on(cpu, 50);
    record((*device)->queue(0), clock, frames, room, looking);
  });
  (void)run_on(cpu == 0 ? 1 : 0, 51);
  while (!looking) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  vf::PortOptions small;
  small.tx_ring = 0;
  auto trigger = vf::open_port(argv[5], small);
  looks.join();
  if (!trigger) return fail(trigger.error().text);
  if (!pinned) return fail("cannot pin to that CPU");
  const auto rows = judge(room.recording, info->link_mbps);
  std::ofstream out(argv[3], std::ios::binary);
  // SAFETY: plain integers, written as they lie in memory.
  out.write(reinterpret_cast<const char*>(rows.data()), static_cast<std::streamsize>(rows.size() * sizeof(Row)));
  out.close();
  if (!out) return fail(os_error(std::string("write ") + argv[3]).text);
  fmt::print("{} frames, {} bursts, link {} Mb/s; {}\n", rows.size(), room.recording.looks.size(), info->link_mbps,
             clock.report().text());
  return 0;
}
