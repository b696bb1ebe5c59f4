// SPDX-License-Identifier: Apache-2.0
// Which known word was probably meant: every refusal of a key or a name names the nearest one.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace vigia::hw {

// The word of known that word is most probably a misspelling of; empty when none is near. Words over 64 bytes are near
// to nothing.
std::string_view nearest(std::string_view word, std::span<const std::string> known);

}  // namespace vigia::hw
