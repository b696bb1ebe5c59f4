// SPDX-License-Identifier: Apache-2.0
// `vigia-capture run`: a device, its engine, a ring, a store, and whoever attaches.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hw/result.h"
#include "vfdriver/clock.h"
#include "vfdriver/duplicates.h"
#include "vfdriver/engine_cpus.h"
#include "vfdriver/listener_table.h"
#include "vfdriver/ring_memory.h"
#include "vfdriver/vf_device.h"

namespace vigia::vf {

struct CaptureOptions {
  std::string device;  // as open_port() takes it
  std::string name = "capture";
  std::string tap;  // what the device shows, in words, for the file; empty: unknown
  PortOptions port;
  RingGeometry ring;  // of each queue
  std::uint32_t snaplen = kMaxCaptured;
  bool poll = false;
  ClockOptions clock;
  CpuWish cpus{false, {}};                     // of the engines
  std::optional<DuplicateOptions> duplicates;  // empty: nobody looks for them
  // With duplicates: the mirrors that send copies to the device, as load_mirror_rules() takes them; empty: unknown. The
  // file is read again when it changes.
  std::filesystem::path mirror_rules;
  bool mirrors_may_come = false;          // no file at the start, or nothing mirrored in it, is no error
  std::optional<unsigned> mirror_agent;   // the device's VF
  std::uint64_t max_frames = 0;           // 0: no limit
  std::chrono::milliseconds max_time{0};  // 0: no limit

  std::filesystem::path out;            // pcapng, pcap or RAW file, by suffix; or:
  std::filesystem::path raw;            // directory of RAW files; both empty: frames are only counted
  std::uint64_t quota = 0;              // of the directory, bytes; 0: no limit
  std::chrono::milliseconds rotate{0};  // a RAW file ends when it is that old; 0: only when it is full
  ListenerKind store_kind = ListenerKind::lossless;
  // Of the directory: not 0: a disk that refuses is no error, the capture goes on and the disk is tried again so often.
  std::chrono::milliseconds store_retry{0};

  std::filesystem::path counters, stats_json, ready_file;  // empty: none
  bool progress = true;                                    // a line that is written anew, where stderr is a terminal
};

// Set by signal handlers. One request stops cleanly, everything read and flushed; a second one gives up what is unread.
struct StopRequest {
  std::atomic<bool> stop{false}, hurry{false};
};

struct CaptureReport;  // capture_report.h

// Who looks on while a capture runs. Called from the thread that is inside run_capture().
class CaptureObserver {
 public:
  virtual ~CaptureObserver() = default;
  // Before the first frame. The ring is that of the first queue; its descriptor may be duplicated and mapped
  // (RingMemory::open) to outlive the capture.
  virtual void begun(const RingMemory& ring, const CaptureReport& report) = 0;
  // Several times a second. port: an error while the device is being started again.
  virtual void turn(const CaptureReport& report, const Result<PortInfo>& port) = 0;
  // Everything is written and counted.
  virtual void ended(const CaptureReport& report) = 0;
};

// To a file, or to standard output when path is "-".
Result<Done> write_text(const std::filesystem::path& path, const std::string& text);

// What of the options is the RAW store's; of one queue.
struct RawStoreOptions;  // store.h
RawStoreOptions raw_store_options(const CaptureOptions& options);

// Everything that can be said without touching anything; input errors.
Result<Done> validate(const CaptureOptions& options);

// Runs until stop, a limit, or the end of the device. Errors of the input leave nothing behind; a dead device or a full
// disk is an error after everything that was captured has been written and counted.
Result<Done> run_capture(const CaptureOptions& options, StopRequest& stop, CaptureObserver* observer = nullptr);
// On a device that is open and started.
Result<Done> run_capture(const CaptureOptions& options, StopRequest& stop, VfDevice& device);

}  // namespace vigia::vf
