// SPDX-License-Identifier: Apache-2.0
// `vigia-capture run --simulate`: what engine, ring and store of this machine can do, without a device.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "hw/result.h"
#include "vfdriver/capture.h"
#include "vfdriver/store.h"

namespace vigia::vf {

enum class Simulation {
  capture,  // frames made in memory, at the speed at which the store takes them, through engine and ring into the store
  store     // blocks of a ring that is full once and for all to RAW files: the disk as this program sees it
};
// "capture", "store"; an input error for other words.
Result<Simulation> parse_simulation(std::string_view word);

struct SimulationReport {
  Simulation what = Simulation::capture;
  std::uint64_t frames = 0, frame_bytes = 0;  // frame_bytes: without FCS
  std::uint64_t lost = 0;                     // frames that are not where they belong
  std::uint64_t disk_bytes = 0;               // given to the disk, headers and padding too; 0: nothing is stored
  double seconds = 0;                         // from the first frame until the last is where it belongs
  double engine_cpu_seconds = 0, store_cpu_seconds = 0;
  bool hugepages = false;
  StoreWay way;
  std::string path;
};
// One object; keys are stable. And one line for people.
std::string to_json(const SimulationReport& report);
std::string text_of(const SimulationReport& report);

// Runs until options.max_frames, options.max_time (10 s if neither is given) or stop. Uses of the options: name, ring,
// raw or out, quota (RAW without one: four files' worth), rotate, snaplen, max_*. RAW files that it wrote are deleted
// at the end unless `keep`. A refused write is an error, as is a wrong option.
Result<SimulationReport> simulate(Simulation what, const CaptureOptions& options, std::uint32_t frame_bytes, bool keep,
                                  StopRequest& stop);

}  // namespace vigia::vf
