// SPDX-License-Identifier: Apache-2.0
// A folder that looks like the root of a host, from a record of tests/host/record-sysfs.
#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "../temp_dir.h"

namespace vigia::orch {

class RecordedHost {
 public:
  // name: a file in tests/data/sysfs.
  explicit RecordedHost(const std::string& name) {
    std::ifstream in(std::filesystem::path(VIGIA_SOURCE) / "tests/data/sysfs" / name);
    if (!in) throw std::runtime_error("no record " + name);
    for (std::string line; std::getline(in, line);) {
      if (const auto arrow = line.find(" -> "); arrow != std::string::npos) {
        link(line.substr(1, arrow - 1), line.substr(arrow + 4));
      } else if (line.ends_with('/')) {
        std::filesystem::create_directories(dir_ / line.substr(1));
      } else if (const auto colon = line.find(": "); colon != std::string::npos) {
        write(line.substr(1, colon - 1), line.substr(colon + 2));
      }
    }
  }

  // Paths begin below the root: "sys/..".
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((dir_ / path).parent_path());
    std::ofstream(dir_ / path) << text << '\n';
  }
  void link(const std::string& path, const std::string& target) {
    std::filesystem::create_directories((dir_ / path).parent_path());
    std::filesystem::remove(dir_ / path);
    std::filesystem::create_symlink(target, dir_ / path);
  }
  void remove(const std::string& path) { std::filesystem::remove_all(dir_ / path); }

  const std::filesystem::path& root() const { return dir_.path(); }

 private:
  test::TempDir dir_;
};

}  // namespace vigia::orch
