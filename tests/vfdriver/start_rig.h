// SPDX-License-Identifier: Apache-2.0
// A port of either family on a scripted VF, and what is to be said when a step of its start fails.
#pragma once

#include <gmock/gmock.h>

#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>

#include "tests/vfdriver/fake_vf.h"
#include "vfdriver/intel/vf.h"

namespace vigia::vf::test {

using namespace std::chrono_literals;

constexpr intel::Timing kQuick{.mailbox = {.limit = 20ms, .step = 50us}, .queue = 20ms, .look = 0ms};

inline PortOptions quick_options() {
  PortOptions options;
  options.rx_ring = options.tx_ring = 64;
  options.pf_wait = 20ms;
  return options;
}

// Map: where the registers are, k82599 or k82576.
template <class Driver, class Chip, const FakeMap& Map>
struct StartRig {
  FakeVf vf{Map};
  FakeFunction* function = nullptr;  // owned by device
  std::unique_ptr<VfDevice> device;
  PortOptions options = quick_options();

  Result<Done> start() {
    auto owned = std::make_unique<FakeFunction>(vf);
    function = owned.get();
    auto opened = Driver::open(std::move(owned), options, kQuick);
    if (!opened) return opened.error();
    device = std::move(*opened);
    return device->start();
  }
  std::uint32_t rxdctl(unsigned queue = 0) { return vf.get(Chip::rxdctl.at(queue)); }
  bool receives() { return (rxdctl() & Chip::rx_enable) != 0; }
};

template <class Rig>
struct Refusal {
  const char* what;
  std::function<void(Rig&)> spoil;
  const char* step;
  const char* sentence;
  std::errc code;
};

template <class Rig>
void expect_refusals(std::initializer_list<Refusal<Rig>> rows) {
  using ::testing::HasSubstr;
  for (const Refusal<Rig>& row : rows) {
    Rig rig;
    row.spoil(rig);
    const auto begin = std::chrono::steady_clock::now();
    const auto started = rig.start();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s) << row.what;
    ASSERT_FALSE(started) << row.what;
    EXPECT_EQ(started.error().code, row.code) << row.what << ": " << started.error().text;
    EXPECT_EQ(started.error().exit_status(), 1) << row.what;
    EXPECT_THAT(started.error().text, HasSubstr(std::string("start fake:vf0, step \"") + row.step + "\"")) << row.what;
    EXPECT_THAT(started.error().text, HasSubstr(row.sentence)) << row.what;
    EXPECT_FALSE(rig.receives()) << row.what << ": left enabled";
  }
}

}  // namespace vigia::vf::test
