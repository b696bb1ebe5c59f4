// SPDX-License-Identifier: Apache-2.0
// The driver of an 82599 virtual function: the shared driver, and what this family's mailbox API adds.
#pragma once

#include <memory>
#include <optional>

#include "vfdriver/intel/vf.h"
#include "vfdriver/ixgbevf/chip.h"
#include "vfdriver/ixgbevf/mailbox.h"

namespace vigia::vf {

extern template class intel::Vf<ixgbevf::Chip>;

namespace ixgbevf {

using intel::Timing;

class Ixgbevf final : public intel::Vf<Chip> {
 public:
  // In the order in which start() runs them (82599 reference, 13).
  static std::span<const Step> steps();

  // Takes the function over. Options were validated. Not started.
  static Result<std::unique_ptr<VfDevice>> open(std::unique_ptr<hw::PciFunction> function, const PortOptions& options,
                                                const Timing& timing = {});

 private:
  using Vf::Vf;

  std::span<const Step> sequence() const override { return steps(); }
  void add_info(PortInfo& info) override;

  Result<Done> negotiate();
  Result<Done> ask_queues();
  Result<Done> ask_multicast();

  std::optional<mbx::Xcast> multicast_;
};

}  // namespace ixgbevf
}  // namespace vigia::vf
