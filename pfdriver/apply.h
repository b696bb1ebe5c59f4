// SPDX-License-Identifier: Apache-2.0
// Writing a plan to the device: in order, each value read back, undone when one does not stick; and the journal from
// which the next start finishes or undoes what a crash interrupted.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "hw/mmio.h"
#include "hw/result.h"
#include "pfdriver/registers.h"

namespace vigia::pf {

// Writes the changes in order and reads each back. The first that does not stick is an error that names register, value
// written and value read; what was written before it has been put back by then. Writing what is there already is
// harmless, so applying twice is the same as once.
// An enable that reads back as 0 because the VF is being reset at this moment is no error: its reset is served next.
Result<Done> apply_changes(hw::Bar& bar, std::span<const Change> changes);

// Changes in the order and with the values that take them back.
std::vector<Change> inverse(std::span<const Change> changes);

// A file that holds the changes being applied, written before the first of them. An empty path: no file, nothing kept.
class Journal {
 public:
  explicit Journal(std::filesystem::path file = {}) : file_(std::move(file)) {}

  Result<Done> begin(std::span<const Change> changes) const;
  Result<Done> finish() const;
  // The changes of an apply that did not finish; empty when there is none. A file that is not a journal of ours is an
  // input error that says so; it is left alone.
  Result<std::vector<Change>> interrupted() const;

 private:
  std::filesystem::path file_;
};

// begin, apply, finish.
Result<Done> apply_changes(hw::Bar& bar, std::span<const Change> changes, const Journal& journal);

enum class Recovery {
  nothing,   // no apply was interrupted
  finished,  // its remaining changes are written
  undone,    // they could not be written; what had been written is taken back
  stale,     // the device has been reset or changed by somebody else since: nothing of it is left
};
std::string_view text_of(Recovery recovery);

// Before anything else touches the device: finishes what the journal says was interrupted, or takes it back.
Result<Recovery> recover(hw::Bar& bar, const Journal& journal);

}  // namespace vigia::pf
