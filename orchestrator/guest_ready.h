// SPDX-License-Identifier: Apache-2.0
// Whether the service inside a guest is up, and ending it, whatever kind of VM it is.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "hw/result.h"
#include "orchestrator/domain_xml.h"

namespace vigia::orch {

// Until the guest's service is of use: vigia-capture in a probe or agent captures, the shell in a tenant answers.
// runs: whether its domain still does; once it does not, there is nothing to wait for. An error has the last lines of
// the guest's console.
Result<Done> wait_for_guest(const VmMetadata& vm, std::chrono::milliseconds limit,
                            const std::function<bool()>& interrupted, const std::function<Result<bool>()>& runs);

// What the guest's service says of itself: one JSON object.
Result<std::string> ask_status(const VmMetadata& vm);

// Tells a probe or agent what the port mirrors to it (mirrors_to()).
Result<Done> tell_guest_mirrors(const VmMetadata& vm, const std::string& port);

// Ends a capture with everything written; tenants have nothing to end.
Result<Done> stop_guest_service(const VmMetadata& vm);

}  // namespace vigia::orch
