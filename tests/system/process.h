// SPDX-License-Identifier: Apache-2.0
// Running programs from tests: start, wait with a deadline, read what they said, see who is left.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace vigia::system_test {

struct Finished {
  int status = -1;  // exit status; 128 + signal when killed; -1: did not end in time and was killed by us
  std::string out, err;
};

// A program of ours by name ("vigia"), from $VIGIA_BIN or this build.
std::filesystem::path program(const std::string& name);
// $VIGIA_DATA, else ../shared/data beside the source; may not exist.
std::filesystem::path data_folder();

// One process with its stdout and stderr in files.
class Process {
 public:
  explicit Process(const std::vector<std::string>& argv);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();
  pid_t pid() const { return pid_; }
  void signal(int number) const;
  Finished wait(std::chrono::seconds limit = std::chrono::seconds(150));

 private:
  pid_t pid_ = -1;
  std::filesystem::path out_, err_;
};

Finished run(const std::vector<std::string>& argv);

// Command lines of living processes that mention text: who was left behind.
std::vector<std::string> processes_with(const std::string& text);

}  // namespace vigia::system_test
