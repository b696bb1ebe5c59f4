// SPDX-License-Identifier: Apache-2.0
// One line of a terminal that is written over again.
#pragma once

#include <unistd.h>

#include <string>

namespace vigia::vf {

// Shows nothing where stderr is no terminal, or when it is not wanted.
class Terminal {
 public:
  explicit Terminal(bool wanted) : tty_(wanted && ::isatty(STDERR_FILENO) == 1) {}
  void show(const std::string& line) {
    if (!tty_) return;
    const std::string out = "\r\x1b[K" + line;
    [[maybe_unused]] const auto n = ::write(STDERR_FILENO, out.data(), out.size());
    shown_ = true;
  }
  void clear() {
    if (!shown_) return;
    [[maybe_unused]] const auto n = ::write(STDERR_FILENO, "\r\x1b[K", 4);
    shown_ = false;
  }
  bool tty() const { return tty_; }

 private:
  bool tty_;
  bool shown_ = false;
};

}  // namespace vigia::vf
