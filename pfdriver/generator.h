// SPDX-License-Identifier: Apache-2.0
// Who makes the VFs of a port and decides what they see. Three ways (native: our own driver on the function; kernel:
// Linux's driver, told through sysfs, rtnetlink and, beside it, a few registers; tc: plain interfaces of the host), one
// contract: desired state -> plan -> apply -> read back. vigia-pf is an event loop around one of them.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "pfdriver/plan.h"
#include "pfdriver/show.h"

namespace vigia::pf {

// What has been counted since the start.
struct Totals {
  std::uint64_t vf_resets = 0, refusals = 0;
  std::uint64_t drifts = 0;     // times that what we had set was found undone, and was set again
  std::uint64_t overruled = 0;  // times that an administrator changed what we had set; left alone
};

// One thread.
class Generator {
 public:
  virtual ~Generator() = default;

  // What is wanted now.
  virtual const PfConfig& config() const = 0;
  // What would be done; changes nothing.
  virtual Plan plan(const PfConfig& config) const = 0;
  // Makes it so: refused (input error), failed and taken back (work error), or done and read back.
  virtual Result<Plan> apply(const PfConfig& config) = 0;
  // The same port without taps: every copy, and what the copies needed, is gone. VFs keep what they have.
  Result<Plan> revert() { return apply(without_taps(config())); }
  virtual PortView show() = 0;
  virtual const Totals& totals() const = 0;

  // Appends what to wait for besides time.
  virtual void add_to(std::vector<pollfd>&) const {}
  // The longest time until service() wants to be called again.
  virtual std::chrono::milliseconds patience() const = 0;
  // What events and time bring. Cheap when nothing happened.
  virtual void service() = 0;
  // False once the device is gone.
  virtual bool alive() const = 0;
  // Clean end. Called once, before destruction.
  virtual void stop() = 0;
};

}  // namespace vigia::pf
