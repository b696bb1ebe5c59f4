// SPDX-License-Identifier: Apache-2.0
// The wire "tap:": the port's cable ends in a TAP interface of a Linux network namespace.
#pragma once

#include <memory>

#include "hw/result.h"
#include "softnic/wire.h"
#include "softnic/wire_spec.h"

namespace vigia::softnic {

// Makes or joins the interface, without offloads (every frame arrives whole and with its checksums) and without carrier
// until set_link(true). Takes CAP_NET_ADMIN, with a namespace CAP_SYS_ADMIN too; the calling thread enters that
// namespace and comes back. Names that mean nothing are input errors; missing rights and a busy interface are not.
Result<std::unique_ptr<Wire>> open_tap_wire(const TapSpec& spec);

}  // namespace vigia::softnic
