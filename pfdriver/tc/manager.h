// SPDX-License-Identifier: Apache-2.0
// The generator `tc`: no NIC makes VFs; guests are behind interfaces of the host (TAP, veth), and taps are mirrors
// between those.
#pragma once

#include <memory>

#include "pfdriver/generator.h"
#include "pfdriver/kernel/rtnetlink.h"
#include "pfdriver/tc/mirrors.h"

namespace vigia::pf {

class TcManager final : public Generator {
 public:
  // netlink: for its events, and the state of interfaces.
  static Result<std::unique_ptr<TcManager>> start(std::unique_ptr<TrafficControl> control,
                                                  std::unique_ptr<RouteNetlink> netlink, const PfConfig& config);

  const PfConfig& config() const override { return config_; }
  Plan plan(const PfConfig& config) const override;
  Result<Plan> apply(const PfConfig& config) override;
  PortView show() override;
  const Totals& totals() const override { return totals_; }
  void add_to(std::vector<pollfd>& fds) const override;
  std::chrono::milliseconds patience() const override { return std::chrono::milliseconds(1000); }
  void service() override;
  bool alive() const override { return true; }
  // Removes the mirrors.
  void stop() override;

 private:
  TcManager(std::unique_ptr<TrafficControl> control, std::unique_ptr<RouteNetlink> netlink)
      : control_(std::move(control)), netlink_(std::move(netlink)), mirrors_(*control_, Matcher::software) {}
  TcPlan draft(const PfConfig& config) const;

  std::unique_ptr<TrafficControl> control_;
  std::unique_ptr<RouteNetlink> netlink_;
  TcMirrors mirrors_;
  PfConfig config_;
  std::vector<std::string> scopes_;
  std::vector<Overruled> overruled_;
  Totals totals_;
};

}  // namespace vigia::pf
