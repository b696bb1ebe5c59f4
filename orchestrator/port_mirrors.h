// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "pfdriver/show.h"

namespace vigia::orch {

// What of a port's state says how often a frame comes to that VF, as `vigia pf show --json` has it: one JSON object,
// some hundred bytes for each VF that is mirrored to it.
std::string mirrors_to(const pf::PortView& port, unsigned vf);

}  // namespace vigia::orch
