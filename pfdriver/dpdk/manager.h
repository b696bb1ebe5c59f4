// SPDX-License-Identifier: Apache-2.0
// The generator `dpdk`: DPDK's PF driver in testpmd, started and told by us, for comparing generators. It makes VFs and
// sets their MACs where DPDK's driver can; it copies nothing, since DPDK has no mirror rules any more (21.11).
#pragma once

#include <memory>
#include <string>

#include "pfdriver/dpdk/testpmd.h"
#include "pfdriver/generator.h"
#include "pfdriver/kernel/sriov.h"

namespace vigia::pf {

class DpdkManager final : public Generator {
 public:
  // The PF must be bound to vfio-pci, loaded with enable_sriov=1, and hugepages be there. program: testpmd.
  static Result<std::unique_ptr<DpdkManager>> start(Sriov sriov, const PfConfig& config, const std::string& program);
  ~DpdkManager() override;

  const PfConfig& config() const override { return config_; }
  Plan plan(const PfConfig& config) const override;
  Result<Plan> apply(const PfConfig& config) override;
  PortView show() override;
  const Totals& totals() const override { return totals_; }
  std::chrono::milliseconds patience() const override { return std::chrono::milliseconds(1000); }
  void service() override {}
  bool alive() const override { return testpmd_ != nullptr && testpmd_->running(); }
  // Ends testpmd and removes the VFs, which have no PF without it.
  void stop() override;

 private:
  explicit DpdkManager(Sriov sriov) : sriov_(std::move(sriov)) {}
  Result<Done> set_mac(const VfConfig& vf);
  Sriov sriov_;
  std::unique_ptr<Testpmd> testpmd_;
  std::string driver_;  // DPDK's name for it
  PfConfig config_;
  Totals totals_;
};

}  // namespace vigia::pf
