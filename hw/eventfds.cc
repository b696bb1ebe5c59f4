// SPDX-License-Identifier: Apache-2.0
#include "hw/eventfds.h"

#include <sys/eventfd.h>

namespace vigia::hw {

Result<std::vector<Fd>> make_eventfds(unsigned count, const std::string& device) {
  std::vector<Fd> fds;
  for (unsigned i = 0; i < count; ++i) {
    fds.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fds.back()) return os_error("create an eventfd for an interrupt of " + device);
  }
  return fds;
}

std::vector<int> numbers_of(const std::vector<Fd>& fds) {
  std::vector<int> numbers;
  for (const Fd& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

}  // namespace vigia::hw
