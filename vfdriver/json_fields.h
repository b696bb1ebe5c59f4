// SPDX-License-Identifier: Apache-2.0
// Reading JSON objects that others wrote: typed getters with ranges, every fault listed as "file: key: what", unknown
// keys refused with the nearest known one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/result.h"

namespace vigia::vf {

// One object. A getter returns nothing when the key is absent and also when its value is wrong; the latter is a fault.
class JsonFields {
 public:
  // Text that is no JSON object is a fault. what: the file or the request, for messages.
  JsonFields(std::string_view text, std::string what);
  JsonFields(JsonFields&&) noexcept;
  ~JsonFields();

  std::optional<std::uint64_t> integer(std::string_view key, std::uint64_t least, std::uint64_t most);
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::string> word(std::string_view key);
  // One of the words; anything else is refused with the nearest of them.
  std::optional<std::string> choice(std::string_view key, const std::vector<std::string>& words);
  // A number of bytes, or a text like "64M".
  std::optional<std::uint64_t> size(std::string_view key);
  // A nested object; empty when it is absent. Its faults are this one's; it must not outlive this one.
  JsonFields object(std::string_view key);

  void fault(std::string_view key, std::string_view text);
  // Refuses keys that nobody asked for. Of the outermost: Done, or an input error with every fault, one a line.
  Result<Done> finish();

 private:
  struct State;
  explicit JsonFields(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vigia::vf
