// SPDX-License-Identifier: Apache-2.0
// One trial on the software 82599: its thread on one core, the engine's on another, real driver, real PF manager.
#include <fmt/core.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "benchmarks/rx/bench.h"
#include "hw/accounts.h"
#include "tests/vfdriver/lab.h"
#include "vfdriver/engine.h"
#include "vfdriver/ring_reader.h"
#include "vfdriver/vf_device.h"

namespace vigia::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

void pin_to(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  (void)::pthread_setaffinity_np(::pthread_self(), sizeof(set), &set);  // a machine with fewer cores runs as it can
}

// A listener that keeps up by taking note: like the RAW store, which touches no record.
void listen(vf::RingReader reader, bool stalled, const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) {  // relaxed: a flag, orders nothing
    std::this_thread::sleep_for(1ms);
    if (stalled) continue;
    const vf::RingPoint unread = reader.unread();
    reader.advance(unread.position, unread.frame);
  }
}

// The frames taken, and when the first and the last of them were.
struct Watched {
  std::uint64_t taken = 0;
  double seconds = 0;
};

Watched watch(vf::Engine& engine, std::uint64_t count, double at_most) {
  Watched seen;
  auto first = Clock::now(), last = first;
  const auto deadline = first + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at_most));
  while (seen.taken < count && Clock::now() < deadline && (seen.taken == 0 || Clock::now() - last < 300ms)) {
    std::this_thread::sleep_for(1ms);
    const std::uint64_t taken = engine.totals().taken;
    if (taken == seen.taken) continue;
    last = Clock::now();
    if (seen.taken == 0) first = last;
    seen.taken = taken;
  }
  seen.seconds = std::chrono::duration<double>(last - first).count();
  return seen;
}

}  // namespace

void measure_cores() {
  constexpr unsigned kRounds = 20, kTurns = 20'000;
  alignas(64) static std::atomic<unsigned> line{0};  // odd: it is the other's turn
  std::thread other([] {
    pin_to(1);
    for (unsigned turn = 0; turn < kRounds * kTurns; ++turn) {
      while (line.load(std::memory_order_acquire) != 2 * turn + 1) {
      }
      line.store(2 * turn + 2, std::memory_order_release);
    }
  });
  pin_to(0);
  double best = 1e9;
  for (unsigned turn = 0; turn < kRounds * kTurns;) {
    const auto begin = Clock::now();
    for (const unsigned end = turn + kTurns; turn < end; ++turn) {
      line.store(2 * turn + 1, std::memory_order_release);
      while (line.load(std::memory_order_acquire) != 2 * turn + 2) {
      }
    }
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count() / kTurns);
  }
  other.join();
  fmt::print("{{\"round_trip_ns\": {:.0f}}}\n", best * 1e9);
}

void try_softnic(const SoftnicRun& run) {
  softnic::DeviceOptions options;
  options.vfs = 1;
  options.start_when_ready = 1;
  pin_to(0);  // inherited by the threads of software NIC and PF
  vf::test::SoftNic nic(options, fmt::format("gen:size={},flows=4096,count={},rate={},dst={}", run.size, run.count,
                                             run.rate, vf::test::mac_of(0).text()));
  vf::test::PfThread pf(nic, 1);
  vf::RingMemory ring = must(vf::RingMemory::create({.data_bytes = run.ring_bytes}, "bench"));
  vf::ListenerTable table = must(vf::ListenerTable::create());
  vf::RingWriter writer(ring, table);
  vf::Clock clock;
  const hw::CounterFile counters = must(hw::CounterFile::create({}, hw::accounts::capture_names()));
  vf::PortOptions port;
  port.queues = run.queues;
  port.tx_ring = 0;
  port.rx_ring = run.rx_ring;
  port.interrupts = !run.poll;
  vf::Engine engine({}, writer, clock, ring, counters, {.poll = run.poll, .duplicates = run.duplicates});
  std::atomic<bool> stop{false};
  std::vector<std::thread> listeners;
  for (unsigned i = 0; i < run.listeners + run.stalled; ++i) {
    const bool stalled = i >= run.listeners;
    const auto kind = stalled ? vf::ListenerKind::overwritable : vf::ListenerKind::lossless;
    auto joined = must(table.join(ring, kind));
    listeners.emplace_back([&, stalled, reader = vf::RingReader::local(ring, table, joined)]() mutable {
      listen(std::move(reader), stalled, stop);
    });
  }
  auto device = must(vf::open_port(nic.spec("vf0"), port));
  std::vector<vf::RxPort*> ports;
  for (unsigned q = 0; q < device->queues(); ++q) ports.push_back(&device->queue(q));
  engine.set_ports(ports);
  double cpu = 0;
  std::thread thread([&] {
    pin_to(1);
    const double begin = thread_seconds();
    engine.run();
    cpu = thread_seconds() - begin;
  });
  const auto begin = Clock::now();
  const Watched seen = watch(engine, run.count, run.at_most);
  engine.request_stop();
  thread.join();
  const double wall = std::chrono::duration<double>(Clock::now() - begin).count();
  (void)must(device->stop());
  engine.drain();
  stop = true;
  for (std::thread& listener : listeners) listener.join();
  const vf::EngineTotals totals = engine.totals();
  device.reset();
  pf.leave(true);
  nic.stop();
  const std::uint64_t sent = nic.account("wire.sent");
  fmt::print(
      "{{\"sent\": {}, \"lost\": {}, \"seconds\": {:.6f}, \"queues\": {}, \"duplicate\": {}, \"engine_cpu\": {:.4f}, "
      "\"hugepages\": {}}}\n",
      sent, sent - totals.appended - totals.duplicate, seen.seconds, ports.size(), totals.duplicate, cpu / wall,
      ring.hugepages());
}

}  // namespace vigia::bench
