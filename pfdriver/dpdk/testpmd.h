// SPDX-License-Identifier: Apache-2.0
// DPDK's testpmd as a child: commands in, text out.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::pf {

// One thread. The kernel ends the child when we die.
class Testpmd {
 public:
  // Starts it and waits for its prompt. What it said instead is in the error.
  static Result<std::unique_ptr<Testpmd>> start(const std::vector<std::string>& argv,
                                                std::chrono::milliseconds limit = std::chrono::seconds(60));
  // Ends it: by its own command, after some seconds by force.
  ~Testpmd();
  Testpmd(const Testpmd&) = delete;
  Testpmd& operator=(const Testpmd&) = delete;

  // What it answers, up to its next prompt.
  Result<std::string> ask(const std::string& command, std::chrono::milliseconds limit = std::chrono::seconds(10));
  bool running();

 private:
  Testpmd(pid_t pid, Fd in, Fd out) : pid_(pid), in_(std::move(in)), out_(std::move(out)) {}
  Result<std::string> read_to_prompt(std::chrono::milliseconds limit);
  bool send(const std::string& line);

  pid_t pid_;
  Fd in_, out_;
};

}  // namespace vigia::pf
