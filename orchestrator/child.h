// SPDX-License-Identifier: Apache-2.0
// A process of ours. It leads a process group of its own, so that the terminal's Ctrl-C reaches only us, and the kernel
// kills it when we die, so that nothing is left running whatever happens.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hw/result.h"

namespace vigia::orch {

struct Command {
  std::string name;                        // who it is in the lab: "softnic", "web"
  std::vector<std::string> argv;           // argv[0] is the program's path
  std::filesystem::path log;               // its stdout and stderr, appended
  std::vector<std::string> environment{};  // "NAME=value", besides what we have ourselves
};
// As one would type it in a shell.
std::string shell_line(const Command& command);

// How a process ended.
struct Ending {
  int exit_status = 0;
  int signal = 0;  // not 0: killed by it
  bool clean() const { return signal == 0 && exit_status == 0; }
  std::string text() const;  // "was killed by signal 9 (Killed)", "ended with status 1"
};

// Move-only. Destroying a child that runs kills it and waits for it.
class Child {
 public:
  // A program that cannot be started is an error here, not an exit status later.
  static Result<Child> start(const Command& command);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }
  // Nothing while it runs. Does not wait.
  const std::optional<Ending>& ending();
  // Sends the signal if it runs.
  void signal(int number);
  // Waits until it has ended or the time is over; then SIGKILL. True when it ended by itself.
  bool wait_or_kill(std::chrono::milliseconds limit);

 private:
  Child(std::string name, pid_t pid) : name_(std::move(name)), pid_(pid) {}
  std::string name_;
  pid_t pid_ = -1;
  std::optional<Ending> ending_;
};

// The last lines of a log, for the message about a child that failed; at most 2 KiB.
std::string last_lines(const std::filesystem::path& log, unsigned lines);

}  // namespace vigia::orch
