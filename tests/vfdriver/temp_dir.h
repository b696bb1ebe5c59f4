// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/temp_dir.h"

namespace vigia::vf {

// Also the run directory while it lives.
class TempDir : public ::vigia::test::TempDir {
 public:
  TempDir() { ::setenv("VIGIA_RUN_DIR", (path() / "run").c_str(), 1); }
};

inline std::vector<char> slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
inline void spill(const std::filesystem::path& path, const std::vector<char>& bytes) {
  std::filesystem::remove(path);  // a new file: ext4 waits for the disk when an old one is truncated and written again
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// What a shell command prints; its status must be 0.
inline std::string output_of(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string text;
  for (char part[4096]; const auto n = std::fread(part, 1, sizeof(part), pipe);) text.append(part, n);
  EXPECT_EQ(::pclose(pipe), 0) << command << ": " << text;
  return text;
}
inline bool has_program(const std::string& name) {
  return std::system(("command -v " + name + " >/dev/null").c_str()) == 0;
}

}  // namespace vigia::vf
