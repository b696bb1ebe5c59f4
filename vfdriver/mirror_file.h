// SPDX-License-Identifier: Apache-2.0
// A file of mirror rules that changes while a capture runs: whoever adds a tap writes it anew.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "hw/mac.h"
#include "hw/result.h"
#include "vfdriver/mirror_copies.h"

namespace vigia::vf {

// One thread.
class MirrorFile {
 public:
  // agent, port: as parse_mirror_rules() takes them. An agent that was found once is kept, also when nothing is
  // mirrored to it any more.
  MirrorFile(std::filesystem::path file, std::optional<unsigned> agent, std::optional<hw::Mac> port)
      : file_(std::move(file)), agent_(agent), port_(port) {}

  // New rules; or why the file is of no use as it is, said once. Nothing: it is as it was, which costs one stat(), or
  // somebody is writing it: what is wrong in a file that is younger than kYoung is not believed yet.
  std::optional<Result<MirrorRules>> look();

  // A file system's clock may tick 100 times a second only: a younger file is read again although it looks the same.
  static constexpr std::chrono::seconds kYoung{1};

 private:
  struct Stamp {
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t modified_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  // All zero: there is no such file.
  Stamp stamp() const;

  const std::filesystem::path file_;
  std::optional<unsigned> agent_;
  const std::optional<hw::Mac> port_;
  std::optional<Stamp> seen_;        // of a file that was not young when it was read
  std::optional<std::string> text_;  // that was understood, or found wrong
};

}  // namespace vigia::vf
