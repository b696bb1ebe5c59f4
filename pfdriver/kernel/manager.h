// SPDX-License-Identifier: Apache-2.0
// The generator `kernel`: Linux drives the port; sysfs makes the VFs, rtnetlink sets them, and copies are kept on the
// port's registers beside the driver.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pfdriver/generator.h"
#include "pfdriver/kernel/copier.h"
#include "pfdriver/kernel/journal.h"
#include "pfdriver/kernel/port.h"
#include "pfdriver/tc/mirrors.h"

namespace vigia::pf {

// What the manager stands on; tests put their own there.
struct KernelWays {
  Sriov sriov;
  std::unique_ptr<RouteNetlink> netlink;
  // Opens the registers when the first tap wants them; they live as long as what this holds.
  std::function<Result<hw::Bar*>()> registers;
  // For a port in switchdev mode, whose VFs have representors.
  std::unique_ptr<TrafficControl> traffic;
};
// The machine's own. spec: as Sriov::find() takes it.
Result<KernelWays> open_kernel_ways(std::string_view spec);

class KernelManager final : public Generator {
 public:
  // Puts back what a crash left half done, makes it as the config wants it, and watches from then on.
  static Result<std::unique_ptr<KernelManager>> start(KernelWays ways, const PfConfig& config,
                                                      std::filesystem::path journal);
  // Only to ask plan(): changes nothing but the masks of a mirror rule that is off, for a moment.
  static std::unique_ptr<KernelManager> look_only(KernelWays ways);

  // Only puts back what the journal says.
  static Result<Done> repair(KernelWays ways, std::filesystem::path journal);

  const PfConfig& config() const override { return config_; }
  Plan plan(const PfConfig& config) const override;
  Result<Plan> apply(const PfConfig& config) override;
  PortView show() override;
  const Totals& totals() const override { return totals_; }
  void add_to(std::vector<pollfd>& fds) const override;
  std::chrono::milliseconds patience() const override;
  void service() override;
  bool alive() const override { return alive_; }
  // Takes the copies away. VFs and their settings stay: guests use them.
  void stop() override;

 private:
  using Clock = std::chrono::steady_clock;
  KernelManager(KernelWays ways, KernelJournal journal);

  Result<Done> recover();
  // The registers, opened when first asked for. Input error: this port has none that we know.
  Result<Copier*> copier(const SriovFacts& facts) const;
  struct Draft;
  Draft draft(const PfConfig& config) const;
  void draft_copies(const PfConfig& config, const SriovFacts& facts, Draft& draft) const;
  void draft_mirrors(const PfConfig& config, Draft& draft) const;
  Result<Done> copy(const Draft& draft);
  void keep_copies();
  void look_at_settings();
  void report(const Overruled& what, const std::vector<Overruled>& before);
  Result<Done> remember();

  std::unique_ptr<RouteNetlink> netlink_;
  KernelPort port_;
  std::function<Result<hw::Bar*>()> open_registers_;
  std::unique_ptr<TrafficControl> traffic_;
  TcMirrors mirrors_;  // on representors
  mutable std::unique_ptr<Copier> copier_;
  KernelJournal journal_;
  mutable KernelRecord record_;
  PfConfig config_;
  Totals totals_;
  std::vector<Overruled> overruled_;
  std::vector<std::string> scopes_;  // of what is copied now
  std::uint64_t receiving_ = 0;      // pools whose receive enable was on at the last look
  bool alive_ = true;
  Clock::time_point next_settings_{};
};

// Puts back what a vigia-pf that was killed left on the port: `vigia pf repair`. One sentence for each thing done.
Result<std::vector<std::string>> repair_kernel_port(KernelWays ways, const std::filesystem::path& journal);

}  // namespace vigia::pf
