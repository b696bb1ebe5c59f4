// SPDX-License-Identifier: Apache-2.0
// One physical function under management: desired state, what VFs were granted, the registers, and the ways to change
// them. vigia-pf is an event loop around it. One thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "hw/pci_function.h"
#include "pfdriver/apply.h"
#include "pfdriver/bring_up.h"
#include "pfdriver/capabilities.h"
#include "pfdriver/config.h"
#include "pfdriver/generator.h"
#include "pfdriver/mailbox_service.h"

namespace vigia::pf {

// The generator `native`.
class Manager final : public Generator, private VfHost {
 public:
  // Recovers what the journal says, brings the port up, applies the config and lets the VFs reset. The function is not
  // owned. msix: vector 0 has an eventfd. A config that the NIC cannot do is refused before the device is touched.
  static Result<std::unique_ptr<Manager>> start(hw::PciFunction& function, PfConfig config,
                                                std::filesystem::path journal, bool msix);
  ~Manager() override;

  // An eventfd that the device's vector 0 signals; not owned. None: mailboxes are polled.
  void wake_by(int interrupt_fd) { interrupt_fd_ = interrupt_fd; }

  const PfConfig& config() const override { return config_; }
  // From what is known of the device.
  Plan plan(const PfConfig& config) const override;
  // VFs are pinged when something changed.
  Result<Plan> apply(const PfConfig& config) override;
  PortView show() override;
  const Totals& totals() const override { return totals_; }

  void add_to(std::vector<pollfd>& fds) const override;
  std::chrono::milliseconds patience() const override;
  // Link changes, VF resets, messages.
  void service() override;
  bool alive() const override { return function_.alive(); }
  // Rules reverted, VFs told to reset, device quiet.
  void stop() override;

 private:
  Manager(hw::PciFunction& function, hw::Bar& bar, const Capabilities& nic, PfConfig config, Journal journal);

  MailboxPolicy policy(unsigned vf) const override;
  const VfState& state(unsigned vf) const override { return states_[vf]; }
  Result<Done> set_state(unsigned vf, const VfState& next, bool program) override;
  void remark(unsigned vf, Event event, const std::string& text) override;
  void wants_promiscuous(unsigned vf, bool wanted) override;
  Current current() const;
  // Registers that do not hold what we wrote.
  std::vector<Drift> drift(const Image& found) const;

  hw::PciFunction& function_;
  hw::Bar& bar_;
  const Capabilities& nic_;
  PfConfig config_;
  Journal journal_;
  TapPlan taps_;
  Image image_;                  // what we know the registers to hold
  std::vector<VfState> states_;  // one per VF
  MailboxService mailboxes_;
  Totals totals_;
  bool link_ = false;
  int interrupt_fd_ = -1;

  struct Voice {  // so that a VF that floods cannot flood the log
    double tokens = 0;
    std::uint64_t suppressed = 0;
    std::chrono::steady_clock::time_point last;
  };
  std::vector<Voice> voices_;
  std::vector<VfDriverView> drivers_;  // one per VF; ready and api are states_'
};

}  // namespace vigia::pf
