// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/lane.h"

#include <sys/prctl.h>

#include <algorithm>

#include "hw/log.h"
#include "vfdriver/engine_cpus.h"

namespace vigia::vf {

void Lane::start(std::vector<RxPort*> ports, std::optional<unsigned> cpu) {
  engine_.set_ports(std::move(ports));
  engine_.restart();
  thread_ = std::thread([this, cpu] {
    ::prctl(PR_SET_NAME, "engine");
    if (cpu) {
      if (auto pinned = pin_this_thread(*cpu); !pinned) {
        log::warning("{}; the engine runs on any CPU", pinned.error().text);
      }
    }
    engine_.run();
  });
}

void Lane::stop() {
  engine_.request_stop();
  if (thread_.joinable()) thread_.join();
}

Result<RingReader> Lane::join(ListenerKind kind) {
  auto joined = table_.join(ring_, kind);
  if (!joined) return joined.error();
  return RingReader::local(ring_, table_, *joined);
}

std::uint64_t Lane::used() const noexcept {
  const std::uint64_t end = ring_.published().position;
  return end - table_.lossless_floor(end);
}

void Lane::tell_clock(const std::string& text) { text.copy(ring_.header().clock, sizeof(ring_.header().clock) - 1); }

}  // namespace vigia::vf
