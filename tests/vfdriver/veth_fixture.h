// SPDX-License-Identifier: Apache-2.0
// A port on va of a veth pair in a network namespace of the test, and a sender on vb.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "tests/vfdriver/own_netns.h"
#include "vfdriver/vf_device.h"

namespace vigia::vf::test {

class OnVeth : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!netns_.made())
      GTEST_SKIP() << "SKIPPED, NOT PASSED: no network namespace with a veth pair can be made here; be root";
    sender_.emplace("vb");
    options_.tx_ring = 0;
    options_.rx_ring = 64;
  }

  OwnNetns netns_;
  std::optional<FrameSender> sender_;
  PortOptions options_;
  std::unique_ptr<VfDevice> device_;
};

}  // namespace vigia::vf::test
