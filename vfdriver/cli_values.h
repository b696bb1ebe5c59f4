// SPDX-License-Identifier: Apache-2.0
// Values as people type them on a command line: those of hw/values.h, in this room's namespace.
#pragma once

#include "hw/values.h"

namespace vigia::vf {

using hw::count_text;
using hw::parse_duration;
using hw::parse_size;
using hw::size_text;

}  // namespace vigia::vf
