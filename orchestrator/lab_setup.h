// SPDX-License-Identifier: Apache-2.0
// Everything that happens before the first process: the folder, the mirror plan, the traffic, the PF's configuration.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hw/result.h"
#include "orchestrator/lab_plan.h"
#include "orchestrator/lab_spec.h"
#include "orchestrator/traffic.h"

namespace vigia::orch {

// A folder for sockets, removed again when it was made here.
class SocketFolder {
 public:
  // dir itself if the paths of its sockets are short enough, else a fresh folder under $TMPDIR or /tmp.
  static Result<SocketFolder> choose(const std::filesystem::path& dir);
  SocketFolder(SocketFolder&& other) noexcept;
  SocketFolder& operator=(SocketFolder&& other) noexcept;
  ~SocketFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  SocketFolder(std::filesystem::path path, bool made) : path_(std::move(path)), made_(made) {}
  std::filesystem::path path_;
  bool made_ = false;
};

struct LabSetup {
  LabSpec spec;
  LabPaths paths;
  SocketFolder sockets;
  LabCommands commands;
  std::vector<std::string> scopes;         // what each mirror rule will copy, a sentence each
  std::vector<std::string> warnings;       // of the mirror plan
  std::optional<PreparedTraffic> traffic;  // nothing for generated traffic without a match
  std::uint64_t frames_to_send = 0;
  std::uint64_t unmatched = 0;  // of those, meant for nobody
};

// A tap that the NIC cannot do is an input error here, before anything exists on disk. Then the folder is made (one
// that a lab is using is refused; files of an earlier run are replaced) and filled.
Result<LabSetup> set_up_lab(LabSpec spec, const std::filesystem::path& out, const std::atomic<bool>& interrupted);

// Where vigia-softnic, vigia-pf and vigia-capture are: beside the program that runs.
Result<std::filesystem::path> find_programs();

}  // namespace vigia::orch
