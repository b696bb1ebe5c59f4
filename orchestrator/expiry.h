// SPDX-License-Identifier: Apache-2.0
// A VM's time (--for). Its end is in the domain's metadata; a process of its own waits for it, and if that is killed,
// repair and the next command see that the time is over.
#pragma once

#include <cstdint>
#include <string>

#include "hw/result.h"
#include "orchestrator/libvirt_host.h"
#include "orchestrator/vm_steps.h"

namespace vigia::orch {

// Starts `vigia expire NAME` as a process of its own session, and notes it and until, seconds since 1970, in the
// metadata, so that `down` ends it.
Result<Done> start_timer(LibvirtHost& host, const std::string& vm, std::int64_t until);

// Waits until the VM's time is over and takes it down. Ends early when the VM goes, or its time is no more its own.
Result<Done> wait_and_end(const std::string& uri, const std::string& vm, const LifeHooks& hooks);

}  // namespace vigia::orch
