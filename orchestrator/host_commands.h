// SPDX-License-Identifier: Apache-2.0
// The parts of `vigia host`.
#pragma once

#include "orchestrator/cli.h"

namespace vigia::orch {

HostCommand add_host_hugepages(CLI::App& host);
HostCommand add_host_bind(CLI::App& host);

}  // namespace vigia::orch
