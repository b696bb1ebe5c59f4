// SPDX-License-Identifier: Apache-2.0
// One PF that Linux drives: what it is like, and setting it, each value read back.
#pragma once

#include <span>

#include "pfdriver/kernel/rtnetlink.h"
#include "pfdriver/kernel/settings.h"
#include "pfdriver/kernel/sriov.h"

namespace vigia::pf {

// One thread. netlink is not owned.
class KernelPort {
 public:
  KernelPort(Sriov sriov, RouteNetlink& netlink) : sriov_(std::move(sriov)), netlink_(&netlink) {}

  const Sriov& sriov() const { return sriov_; }
  // A PF without an interface has an empty link.
  Result<KernelState> look() const;
  // Sets one value and reads it back; what the driver ignored is a work error that says so.
  Result<Done> set(const Setting& setting) const;
  // In order. The first that fails is the error; what was set before it has been put back by then.
  Result<Done> apply(std::span<const Setting> settings) const;
  // Puts back, last first, what still is as the settings left it; what somebody else has changed since is left and
  // listed. VFs that have a driver on this host or in a guest go with their number.
  Result<std::vector<Setting>> take_back(std::span<const Setting> settings) const;

 private:
  Result<Done> write(const Setting& setting, const KernelState& state) const;
  Sriov sriov_;
  RouteNetlink* netlink_;
};

}  // namespace vigia::pf
