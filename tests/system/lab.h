// SPDX-License-Identifier: Apache-2.0
// Labs for the system tests: a temporary folder with a lab.yaml, its run, and what an independent tool says that the
// agent's file must hold.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "process.h"

namespace vigia::system_test {

struct Frame {
  std::string bytes;
  std::uint64_t time_ns = 0;
};

// Every frame of a pcap or pcapng file, as libpcap reads it.
std::vector<Frame> read_frames(const std::filesystem::path& file);

// What a wire makes of a captured frame that is sent to that address: destination rewritten, zeros up to the wire
// length, at least 60 bytes.
struct Expected {
  std::string filter;  // as for tcpdump; empty: everything
  std::string mac;     // "02:00:00:00:00:01"; empty: kept
};
// The frames that `tcpdump -r input filter` yields, as a wire sends them; those over largest bytes left out.
std::vector<std::string> expected_frames(const std::filesystem::path& input, const Expected& expected,
                                         std::size_t largest = 9014);

// Asserts that the file holds exactly these frames in this order, with stamps that do not decrease.
void expect_same_frames(const std::filesystem::path& file, const std::vector<std::string>& expected);

class LabTest : public ::testing::Test {
 protected:
  LabTest();
  ~LabTest() override;

  std::filesystem::path write(const std::string& name, const std::string& text) const;
  std::filesystem::path write_lab(const std::string& body) const { return write("lab.yaml", "lab:\n" + body); }
  std::vector<std::string> lab_command() const;

  // Runs lab.yaml of that body with --json; nothing may be left running, and stdout must be one object.
  struct Result {
    int status = -1;
    nlohmann::json json;
    std::string err;
  };
  Result run_lab(const std::string& body) const;
  // After the run: nobody of this lab is alive.
  void expect_nobody_left() const;

  // A lab that has run for a while: started in the background, everybody at work.
  std::unique_ptr<Process> start_lab(const std::string& body) const;
  Result finish_lab(Process& process) const;
  // From lab.json: "softnic", "pf" or a party's name.
  pid_t pid_of(const std::string& name) const;
  nlohmann::json manifest() const;

  std::filesystem::path dir_, out_;
};

// The demo's capture, shipped with the source.
std::filesystem::path demo_capture();
// A file of VIGIA_DATA; skips the test loudly when it is not there.
#define VIGIA_DATA_FILE(variable, name)                          \
  const std::filesystem::path variable = data_folder() / (name); \
  if (!std::filesystem::exists(variable))                        \
  GTEST_SKIP() << "SKIPPED, NOT PASSED: no " << variable << "; set VIGIA_DATA to a folder of captures"

}  // namespace vigia::system_test
