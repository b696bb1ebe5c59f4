// SPDX-License-Identifier: Apache-2.0
// What interrupts arrive on.
#pragma once

#include <string>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::hw {

// Non-blocking, counters at 0. device: for the error.
Result<std::vector<Fd>> make_eventfds(unsigned count, const std::string& device);
// The same as numbers; owned by fds.
std::vector<int> numbers_of(const std::vector<Fd>& fds);

}  // namespace vigia::hw
