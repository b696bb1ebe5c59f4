// SPDX-License-Identifier: Apache-2.0
// A mapped file of a client, and the guard against its shrinking: an access beyond the end of a truncated file raises
// SIGBUS, which would let any client kill the device of all.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "hw/result.h"

namespace vigia::softnic {

// Owns one mapping of a whole file. A fault in it puts zero pages in place of the whole mapping and marks it truncated;
// the access that faulted then goes on. Every other SIGBUS goes to the handler that was there before. The handler is
// installed with the first mapping and stays.
class GuardedMapping {
 public:
  // Maps the first bytes of the file shared (rounded up to whole pages of the file system). Create and destroy from any
  // thread.
  static Result<std::unique_ptr<GuardedMapping>> map(int fd, std::size_t bytes, bool writable);
  ~GuardedMapping();
  GuardedMapping(const GuardedMapping&) = delete;
  GuardedMapping& operator=(const GuardedMapping&) = delete;

  std::span<std::byte> bytes() const noexcept { return memory_; }
  bool truncated() const noexcept;

 private:
  GuardedMapping(std::span<std::byte> memory, std::size_t slot) : memory_(memory), slot_(slot) {}
  std::span<std::byte> memory_;
  std::size_t slot_;  // in the table that the handler reads
};

}  // namespace vigia::softnic
