// SPDX-License-Identifier: Apache-2.0
// A whole capture on a fake device, in a thread of the test.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "hw/counter_file.h"
#include "tests/vfdriver/fake_capture_device.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/capture.h"

namespace vigia::vf {

struct CaptureUnderTest {
  explicit CaptureUnderTest(unsigned queues = 1) : device(queues) {
    options.name = "agent";
    options.ring.data_bytes = 8 << 20;
    options.counters = dir / "counters";
    options.stats_json = dir / "stats.json";
    options.ready_file = dir / "ready";
  }
  void start() {
    thread = std::thread([this] { result = run_capture(options, stop, device); });
    while (!std::filesystem::exists(dir / "ready")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  Result<Done>& finish(bool request = true) {
    if (request) stop.stop = true;
    thread.join();
    return result;
  }
  void wait_taken(std::uint64_t frames) {
    while (counters().at("engine.taken") < frames) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  std::map<std::string, std::uint64_t> counters() { return must(hw::read_counters(dir / "counters")).values; }
  nlohmann::json stats() {
    const auto text = slurp(dir / "stats.json");
    return nlohmann::json::parse(text.begin(), text.end());
  }

  TempDir dir;
  CaptureOptions options;
  StopRequest stop;
  FakeDevice device;
  std::thread thread;
  Result<Done> result = Done{};
};

}  // namespace vigia::vf
