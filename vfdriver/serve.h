// SPDX-License-Identifier: Apache-2.0
// `vigia-capture serve`: the only service of a probe. Captures for as long as it is up, whatever happens to the device
// or the disk, and answers the host through the channel.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "hw/result.h"
#include "vfdriver/capture.h"

namespace vigia::vf {

// From the JSON object that the host gives to the guest.
struct ServeConfig {
  std::string name, role = "probe";
  RingGeometry ring;
  std::uint32_t snaplen = kMaxCaptured;
  std::uint64_t quota = 0;              // bytes; 0: no limit
  std::chrono::milliseconds rotate{0};  // a stored file ends when it is that old; 0: only when it is full
  // What becomes of frames when storage is a whole ring behind.
  ListenerKind policy = ListenerKind::overwritable;
  std::optional<DuplicateOptions> duplicates;  // empty: nobody looks for them
  // With duplicates, as CaptureOptions has them; the file need not be there yet.
  std::filesystem::path mirror_rules;
  std::optional<unsigned> mirror_agent;
  unsigned mtu = 1500;
  ClockOptions clock;
  std::string storage_mode;  // "virtio", "passthrough", "none"; empty: not said
};

// what: the file, for messages. Foreign text: an input error lists every fault.
Result<ServeConfig> parse_serve_config(std::string_view json, const std::string& what);

struct ServeOptions {
  std::filesystem::path config;
  std::string device;         // a device spec or "auto"
  std::string channel;        // device or unix:PATH
  std::filesystem::path out;  // directory of RAW files; empty: the ring only
  std::string version;        // of the program, for the host
  // Between attempts to use a disk that refuses.
  std::chrono::milliseconds store_retry{5000};
};

// The spec of the first VF of a kind that we drive, bound to vfio-pci or uio_pci_generic, by address; an error when
// there is none. sysfs: "/sys", but for tests.
Result<std::string> find_bound_vf(const std::filesystem::path& sysfs);

// Until stop is set, or the host says so. Errors: wrong input, before anything runs.
Result<Done> serve(const ServeOptions& options, StopRequest& stop);

}  // namespace vigia::vf
