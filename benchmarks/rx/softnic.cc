// SPDX-License-Identifier: Apache-2.0
// One trial on the software 82599: its thread on one core, an engine for each queue on others, real driver, real PF
// manager. Both poll loops measure what the machine takes from them, so that a loss has its cause beside it.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "benchmarks/rx/bench.h"
#include "benchmarks/rx/pauses.h"
#include "hw/accounts.h"
#include "tests/vfdriver/lab.h"
#include "vfdriver/lane.h"
#include "vfdriver/vf_device.h"

namespace vigia::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Of SCHED_FIFO. Who sleeps most of the time goes before who never does.
constexpr int kPolling = 50, kSleeping = 51;
constexpr unsigned kWireCpu = 0;
// Who sleeps does so for this long: each awakening takes some 40 us from the wire's thread, on a virtual machine, and a
// ring holds 250 ms of the shortest frames.
constexpr auto kLook = 5ms;

// A queue whose engine measures its pauses.
class MeteredPort final : public vf::RxPort {
 public:
  MeteredPort(vf::RxPort& port, PauseMeter& meter) : port_(port), meter_(meter) {}

  std::size_t receive(std::span<vf::RxSegment> out) noexcept override {
    if (!begun_) [[unlikely]] {  // in the engine's thread
      begun_ = true;
      clockid_t clock{};
      if (::pthread_getcpuclockid(::pthread_self(), &clock) == 0) cpu_clock_ = clock;
      meter_.begin();
    }
    meter_.turn();
    const std::size_t n = port_.receive(out);
    if (n > 0) {
      last_ = meter_.last();
      if (first_ == 0) [[unlikely]]
        first_ = last_;
    }
    return n;
  }
  void release() noexcept override { port_.release(); }
  void wait(std::chrono::microseconds at_most) noexcept override {
    port_.wait(at_most);
    meter_.begin();  // who sleeps is not kept from anything
  }
  bool worth_spinning() const noexcept override { return port_.worth_spinning(); }
  bool alive() const noexcept override { return port_.alive(); }
  std::uint64_t pending_frames() const noexcept override { return port_.pending_frames(); }

  // When it first and last found frames, ticks, 0: never; after the engine's thread has ended.
  std::uint64_t first() const noexcept { return first_; }
  std::uint64_t last() const noexcept { return last_; }
  // The engine has begun; from any thread.
  bool looked() const noexcept { return cpu_clock_ != CLOCK_REALTIME; }
  // Processor time of the engine's thread so far, seconds; while it runs, from any thread.
  double cpu_seconds() const noexcept {
    const clockid_t clock = cpu_clock_;
    timespec t{};
    if (clock == CLOCK_REALTIME || ::clock_gettime(clock, &t) != 0) return 0;
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  }

 private:
  vf::RxPort& port_;
  PauseMeter& meter_;
  bool begun_ = false;
  std::atomic<clockid_t> cpu_clock_{CLOCK_REALTIME};  // until it is known
  std::uint64_t first_ = 0, last_ = 0;
};

// A listener that keeps up by taking note: like the RAW store, which touches no record.
void listen(std::vector<vf::RingReader>& readers, bool stalled, const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) {  // relaxed: a flag, orders nothing
    std::this_thread::sleep_for(kLook);
    if (stalled) continue;
    for (vf::RingReader& reader : readers) {
      const vf::RingPoint unread = reader.unread();
      reader.advance(unread.position, unread.frame);
    }
  }
}

class Trial {
 public:
  explicit Trial(const SoftnicRun& run);
  void watch();
  void finish();
  void print() const;

 private:
  static softnic::DeviceOptions device_options() {
    softnic::DeviceOptions options;
    options.vfs = 2;
    options.start_when_ready = 2;
    return options;
  }
  // Policy and CPU of this thread, which those that it starts take over.
  void as(int priority, unsigned cpu) {
    if (run_.realtime) (void)before_others(kSleeping);  // or it would never come to run beside who polls there
    pin_to(cpu);
    realtime_ = run_.realtime && before_others(priority);
  }
  unsigned cpu_of(unsigned lane) const { return cpus_ > 1 ? 1 + lane % (cpus_ - 1) : 0; }
  void make_lanes();
  void make_listeners();
  void start();
  vf::EngineTotals totals() const {
    vf::EngineTotals sum;
    for (const auto& lane : lanes_) sum += lane->engine().totals();
    return sum;
  }

  const SoftnicRun& run_;
  const unsigned cpus_ = std::max(1u, std::thread::hardware_concurrency());
  bool realtime_ = false;
  std::unique_ptr<vf::Clock> clock_;
  PauseMeter sender_;
  std::uint64_t wire_started_ = 0;  // ticks
  std::unique_ptr<vf::test::SoftNic> nic_;
  std::unique_ptr<vf::test::PfThread> pf_;
  hw::CounterFile counters_;
  std::vector<std::unique_ptr<vf::Lane>> lanes_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> listeners_;
  std::unique_ptr<vf::VfDevice> device_, trigger_;
  std::vector<std::unique_ptr<PauseMeter>> receivers_;
  std::vector<std::unique_ptr<MeteredPort>> ports_;

  double engine_cpu_ = 0;  // processors in use by all engines
};

Trial::Trial(const SoftnicRun& run)
    : run_(run),
      clock_(must(vf::Clock::open({.policy = run.policy, .ticks = {}, .reference = {}}))),
      sender_(*clock_),
      counters_(must(hw::CounterFile::create({}, hw::accounts::capture_names(run.queues)))) {
  const auto wire = fmt::format("gen:size={},flows=4096,count={},rate={},dst={}", run.size, run.count, run.rate,
                                vf::test::mac_of(0).text());
  as(kPolling, kWireCpu);
  nic_ = std::make_unique<vf::test::SoftNic>(device_options(), wire, [this](bool started) {
    if (!started) return;
    if (wire_started_ == 0) {
      sender_.begin();
      wire_started_ = sender_.last();
    }
    sender_.turn();
  });
  as(kSleeping, kWireCpu);
  pf_ = std::make_unique<vf::test::PfThread>(*nic_, 2, 1500, kLook);
  make_lanes();
  make_listeners();
  start();
}

void Trial::make_lanes() {
  // Engines that have to share a processor cannot poll: each would wait until the scheduler takes it from the other.
  const bool poll = run_.poll && run_.queues < std::max(2u, cpus_);
  for (unsigned q = 0; q < run_.queues; ++q) {
    vf::EngineOptions engine{.poll = poll, .duplicates = run_.duplicates};
    if (run_.queues > 1) engine.lane = q;
    vf::ClockView& view = q == 0 ? *clock_ : clock_->add_view();
    lanes_.push_back(std::make_unique<vf::Lane>(must(vf::RingMemory::create({.data_bytes = run_.ring_bytes}, "bench")),
                                                must(vf::ListenerTable::create()), view, counters_, engine));
  }
}

void Trial::make_listeners() {
  for (unsigned i = 0; i < run_.listeners + run_.stalled; ++i) {
    const bool stalled = i >= run_.listeners;
    std::vector<vf::RingReader> readers;
    for (const auto& lane : lanes_) {
      readers.push_back(must(lane->join(stalled ? vf::ListenerKind::overwritable : vf::ListenerKind::lossless)));
    }
    listeners_.emplace_back(
        [this, stalled, readers = std::move(readers)]() mutable { listen(readers, stalled, stop_); });
  }
}

// A device that has just been opened may have been on for a millisecond already, and an engine takes its time to come
// to run: the wire waits for a second VF, which gets no frames and is opened when the engines are looking. Their
// threads begin on the CPU of this one, where the device's thread would let them wait for its time slice.
void Trial::start() {
  vf::PortOptions options;
  options.queues = run_.queues;
  options.tx_ring = 0;
  options.rx_ring = run_.rx_ring;
  options.interrupts = !run_.poll || run_.queues >= std::max(2u, cpus_);
  as(kPolling, cpu_of(0));
  device_ = must(vf::open_port(nic_->spec("vf0"), options));
  for (unsigned q = 0; q < device_->queues(); ++q) {
    receivers_.push_back(std::make_unique<PauseMeter>(*clock_));
    ports_.push_back(std::make_unique<MeteredPort>(device_->queue(q), *receivers_.back()));
  }
  for (unsigned q = 0; q < lanes_.size(); ++q) lanes_[q]->start({ports_[q].get()}, cpu_of(q));
  as(kSleeping, kWireCpu);
  for (const auto& port : ports_) {
    while (!port->looked()) std::this_thread::sleep_for(1ms);
  }
  vf::PortOptions small;
  small.tx_ring = 0;
  trigger_ = must(vf::open_port(nic_->spec("vf1"), small));
}

void Trial::watch() {
  std::uint64_t seen = 0;
  const auto begin = Clock::now();
  for (const auto& port : ports_) engine_cpu_ -= port->cpu_seconds();
  auto last = begin;
  const auto deadline =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(run_.at_most));
  while (seen < run_.count && Clock::now() < deadline && (seen == 0 || Clock::now() - last < 300ms)) {
    std::this_thread::sleep_for(kLook);
    const std::uint64_t taken = totals().taken;
    if (taken == seen) continue;
    last = Clock::now();
    seen = taken;
  }
  for (const auto& port : ports_) engine_cpu_ += port->cpu_seconds();
  engine_cpu_ /= std::chrono::duration<double>(Clock::now() - begin).count();
}

void Trial::finish() {
  for (const auto& lane : lanes_) lane->stop();
  (void)must(device_->stop());
  for (const auto& lane : lanes_) lane->drain();
  stop_ = true;
  for (std::thread& listener : listeners_) listener.join();
  trigger_.reset();
  device_.reset();
  pf_->leave(true);
  nic_->stop();
}

void Trial::print() const {
  const vf::EngineTotals taken = totals();
  const std::uint64_t sent = nic_->account("wire.sent");
  std::uint64_t begin = ~std::uint64_t{0}, end = 0;
  for (const auto& port : ports_) {
    if (port->first() != 0) begin = std::min(begin, port->first());
    end = std::max(end, port->last());
  }
  std::vector<std::string> receivers;
  for (const auto& receiver : receivers_) receivers.push_back(receiver->json(wire_started_, end));
  fmt::print(
      "{{\"sent\": {}, \"lost\": {}, \"no_descriptor\": {}, \"missed\": {}, \"ring_full\": {}, \"seconds\": {:.6f}, "
      "\"queues\": {}, \"duplicate\": {}, \"engine_cpu\": {:.4f}, \"hugepages\": {}, \"realtime\": {}, "
      "\"sender\": {}, \"receivers\": [{}]}}\n",
      sent, sent - taken.appended - taken.duplicate, nic_->account("vf0.no_descriptor"), nic_->account("wire.missed"),
      taken.ring_full, sender_.microseconds(end - std::min(begin, end)) * 1e-6, ports_.size(), taken.duplicate,
      engine_cpu_, lanes_.front()->ring().hugepages(), realtime_, sender_.json(wire_started_, end),
      fmt::join(receivers, ", "));
}

}  // namespace

void try_softnic(const SoftnicRun& run) {
  Trial trial(run);
  trial.watch();
  trial.finish();
  trial.print();
}

}  // namespace vigia::bench
