// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/capture.h"

#include <fmt/core.h>
#include <unistd.h>

#include <fstream>

#include "hw/accounts.h"
#include "hw/log.h"
#include "vfdriver/run_dir.h"
#include "vfdriver/session.h"

namespace vigia::vf {

namespace fs = std::filesystem;

Result<Done> write_text(const fs::path& path, const std::string& text) {
  if (path == "-") {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return Done{};
  }
  std::ofstream out(path);
  out << text;
  out.close();
  if (!out) return os_error("write " + path.string());
  return Done{};
}

Result<Done> validate(const CaptureOptions& o) {
  if (auto ok = check_name(o.name); !ok) return ok;
  if (auto ok = validate(o.ring); !ok) return ok;
  if (auto ok = validate(o.port); !ok) return ok;
  if (!o.out.empty() && !o.raw.empty())
    return input_error("--out and --raw: a capture has one store; give one of them");
  if (!o.out.empty() && !format_of(o.out)) {
    return input_error("--out " + o.out.string() + ": the suffix must be .pcapng, .pcap or .raw");
  }
  if (o.snaplen == 0) return input_error("--snaplen 0: a frame keeps at least one byte");
  if (o.quota != 0 && o.raw.empty()) return input_error("--quota: needs --raw DIR");
  if (o.rotate.count() != 0 && o.raw.empty()) return input_error("--rotate: needs --raw DIR");
  if (!o.mirror_rules.empty() && !o.duplicates) return input_error("--mirror-rules: needs --dedup");
  if (o.mirror_agent && o.mirror_rules.empty()) return input_error("--mirror-agent: needs --mirror-rules FILE");
  if (!o.cpus.cpus.empty() && o.cpus.cpus.size() != o.port.queues) {
    return input_error(fmt::format("--cpus: {} CPU(s) for {} queue(s); name one for each, or say auto or none",
                                   o.cpus.cpus.size(), o.port.queues));
  }
  const auto last_cpu = static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_CONF)) - 1;
  for (const unsigned cpu : o.cpus.cpus) {
    if (cpu > last_cpu) return input_error(fmt::format("--cpus {}: this machine has CPUs 0 to {}", cpu, last_cpu));
  }
  return Done{};
}

RawStoreOptions raw_store_options(const CaptureOptions& o) { return {o.raw, o.name, o.quota, o.store_retry, o.rotate}; }

namespace {

Result<std::vector<RingMemory>> make_rings(const CaptureOptions& options, unsigned queues) {
  std::vector<RingMemory> rings;
  for (unsigned q = 0; q < queues; ++q) {
    auto ring = RingMemory::create(options.ring, options.name);
    if (!ring) return ring.error();
    rings.push_back(std::move(*ring));
  }
  return rings;
}

// What takes its time and needs no device.
struct Prepared {
  std::vector<RingMemory> rings;
  std::unique_ptr<Clock> clock;
  Result<std::vector<CpuCore>> cores = std::vector<CpuCore>{};
};

Result<Prepared> prepare(const CaptureOptions& options, unsigned queues) {
  auto rings = make_rings(options, queues);
  if (!rings) return rings.error();
  auto clock = Clock::open(options.clock);
  if (!clock) return clock.error();
  Prepared prepared{std::move(*rings), std::move(*clock)};
  if (options.cpus.choose) prepared.cores = cores_for(pci_address_of(options.device));
  return prepared;
}

// A wish that would not be followed must not look as if it were.
Result<Done> check_clock(const ClockOptions& clock, const PortInfo& port) {
  if (clock.asked.empty() || port.stamps.empty()) return Done{};
  return input_error(fmt::format(
      "clock \"{}\" is asked for, but the frames of {} carry stamps of the port's own: {}; leave the clock's options "
      "away, or have the engine stamp the frames: --device {}",
      clock.asked, port.device, port.stamps, port.engine_stamps));
}

Result<Done> capture_into(Prepared prepared, const CaptureOptions& options, StopRequest& stop, VfDevice& device,
                          CaptureObserver* observer) {
  const auto info = device.info();
  if (!info) return info.error();
  if (auto ok = check_clock(options.clock, *info); !ok) return ok;
  prepared.clock->stamped_by_port(info->stamps);
  std::vector<RingMemory>& rings = prepared.rings;
  if (device.queues() < rings.size()) {
    log::info("{}: {} receive queues were asked for, {} granted", options.name, rings.size(), device.queues());
    rings.erase(rings.begin() + device.queues(), rings.end());
  }
  const auto lanes = static_cast<unsigned>(rings.size());
  std::vector<std::string> names = hw::accounts::capture_names(lanes, options.raw.empty() ? 1 : lanes);
  if (!options.mirror_rules.empty()) {
    for (unsigned lane = 0; lane < lanes; ++lane) {
      for (const auto& account : hw::accounts::kCopies) {
        names.push_back(hw::accounts::of_lane(account.name, lanes > 1 ? std::optional(lane) : std::nullopt));
      }
    }
  }
  // What the port cannot tell has no account: unknown is not zero.
  const PortCounts known = device.counts();
  if (known.offered) names.emplace_back(hw::accounts::kPortOffered);
  if (known.dropped) names.emplace_back(hw::accounts::kPortDropped);
  if (known.stopped_accesses) names.emplace_back(hw::accounts::kPortStopped);
  auto counters = hw::CounterFile::create(options.counters, names);
  if (!counters) return counters.error();
  Session session(options, stop, device, *info, std::move(*counters), std::move(prepared.clock), observer);
  if (auto ok = session.prepare(std::move(rings), prepared.cores); !ok) return ok;
  return session.run();
}

}  // namespace

Result<Done> run_capture(const CaptureOptions& options, StopRequest& stop, VfDevice& device) {
  auto prepared = prepare(options, device.queues());
  if (!prepared) return prepared.error();
  return capture_into(std::move(*prepared), options, stop, device, nullptr);
}

Result<Done> run_capture(const CaptureOptions& options, StopRequest& stop, CaptureObserver* observer) {
  if (auto ok = validate(options); !ok) return ok;
  std::error_code ignored;
  if (!options.ready_file.empty()) fs::remove(options.ready_file, ignored);  // of an earlier run
  // All this first: rings on ordinary pages of a guest take a second, in which a device that is on would overflow.
  auto prepared = prepare(options, options.port.queues);
  if (!prepared) return prepared.error();
  PortOptions port = options.port;
  port.cancel = &stop.stop;
  port.interrupts = !options.poll;
  if (options.snaplen < options.ring.max_captured) port.snaplen = options.snaplen;
  auto device = open_port(options.device, port);
  if (!device) return device.error();
  return capture_into(std::move(*prepared), options, stop, **device, observer);
}

}  // namespace vigia::vf
