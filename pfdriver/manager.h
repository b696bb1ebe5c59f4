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
#include "pfdriver/mailbox_service.h"
#include "pfdriver/plan.h"
#include "pfdriver/show.h"

namespace vigia::pf {

class Manager final : private VfHost {
 public:
  // Recovers what the journal says, brings the port up, applies the config and lets the VFs reset. The function is not
  // owned. msix: vector 0 has an eventfd. A config that the NIC cannot do is refused before the device is touched.
  static Result<std::unique_ptr<Manager>> start(hw::PciFunction& function, PfConfig config,
                                                std::filesystem::path journal, bool msix);
  ~Manager() override;

  // Pure with regard to the device: from what is known of it.
  Plan plan(const PfConfig& config) const;
  // Makes it so: refused (input error), failed and taken back (work error), or done and read back. VFs are pinged when
  // something changed.
  Result<Plan> apply(const PfConfig& config);
  // The same port without taps: every mirror rule, and what the rules needed, is gone. VFs keep what they have.
  Result<Plan> revert();
  PortView show();
  const PfConfig& config() const { return config_; }

  // What interrupts and time bring: link changes, VF resets, messages. Cheap when nothing happened.
  void service();
  bool busy() const { return mailboxes_.pending(); }
  bool alive() const { return function_.alive(); }

  // Clean end: rules reverted, VFs told to reset, device quiet. Called once, before destruction.
  void stop();

  struct Totals {
    std::uint64_t vf_resets = 0, refusals = 0;
  };
  const Totals& totals() const { return totals_; }

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

  struct Voice {  // so that a VF that floods cannot flood the log
    double tokens = 0;
    std::uint64_t suppressed = 0;
    std::chrono::steady_clock::time_point last;
  };
  std::vector<Voice> voices_;
  std::vector<VfDriverView> drivers_;  // one per VF; ready and api are states_'
};

}  // namespace vigia::pf
