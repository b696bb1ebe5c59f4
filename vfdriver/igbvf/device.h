// SPDX-License-Identifier: Apache-2.0
// The driver of an 82576 or I350 virtual function: the shared driver, and this family's multicast messages and
// counters.
#pragma once

#include <memory>
#include <string>

#include "vfdriver/igbvf/chip.h"
#include "vfdriver/igbvf/mailbox.h"
#include "vfdriver/intel/vf.h"

namespace vigia::vf {

extern template class intel::Vf<igbvf::Chip>;

namespace igbvf {

using intel::Timing;

class Igbvf final : public intel::Vf<Chip> {
 public:
  // In the order in which start() runs them (82599 reference, 13 and 17).
  static std::span<const Step> steps();

  // Takes the function over. Options were validated. Not started.
  static Result<std::unique_ptr<VfDevice>> open(std::unique_ptr<hw::PciFunction> function, const PortOptions& options,
                                                const Timing& timing = {});

 private:
  using Vf::Vf;

  std::span<const Step> sequence() const override { return steps(); }
  void add_info(PortInfo& info) override;

  // This family's PF tells no number: one.
  Result<Done> use_one_queue();
  Result<Done> ask_multicast();

  std::string multicast_;
};

}  // namespace igbvf
}  // namespace vigia::vf
