// SPDX-License-Identifier: Apache-2.0
// A receive queue on its way: its engine with the thread, its ring and who listens to it. Several lanes of a capture
// share nothing that is written.
#pragma once

#include <optional>
#include <thread>
#include <vector>

#include "vfdriver/engine.h"
#include "vfdriver/listener_server.h"
#include "vfdriver/ring_reader.h"

namespace vigia::vf {

// All methods from the one control thread. Clock and counters outlive it.
class Lane {
 public:
  Lane(RingMemory ring, ListenerTable table, ClockView& clock, const hw::CounterFile& counters,
       const EngineOptions& options)
      : ring_(std::move(ring)),
        table_(std::move(table)),
        writer_(ring_, table_),
        engine_({}, writer_, clock, ring_, counters, options) {}
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;
  ~Lane() { stop(); }

  // The engine takes frames from these ports, on that CPU; empty: wherever the scheduler puts it.
  void start(std::vector<RxPort*> ports, std::optional<unsigned> cpu);
  // The engine's thread has ended when this returns; start() again is fine.
  void stop();
  // After stop(), and after the device has stopped: takes what is left there.
  void drain() { engine_.drain(); }
  // Nothing follows.
  void close() { writer_.close(); }

  // A listener in this process, from the published end on.
  Result<RingReader> join(ListenerKind kind);

  const RingMemory& ring() const noexcept { return ring_; }
  const Engine& engine() const noexcept { return engine_; }
  ServedRing served() noexcept { return {&ring_, &table_}; }
  // Bytes that a lossless listener has not read.
  std::uint64_t used() const noexcept;
  // What listeners are told of the stamps, for people.
  void tell_clock(const std::string& text);

 private:
  RingMemory ring_;
  ListenerTable table_;
  RingWriter writer_;
  Engine engine_;
  std::thread thread_;
};

}  // namespace vigia::vf
