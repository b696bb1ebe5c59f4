// SPDX-License-Identifier: Apache-2.0
// The orchestrator's side of a vigia-pf: what is wanted of its port, and changing one VF or tap of it.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "hw/result.h"
#include "pfdriver/amend.h"
#include "pfdriver/show.h"

namespace vigia::orch {

struct PortWishes {
  unsigned vfs = 0;
  std::vector<pf::VfConfig> vf;  // by index
  std::vector<pf::Tap> taps;
};

struct Amended {
  pf::Amendment undo;               // what takes it back
  std::vector<std::string> scopes;  // of each mirror rule that the port then has
  std::vector<std::string> warnings;
  std::size_t changes = 0;  // registers
};

class PfLink {
 public:
  // limit: how long one answer may take.
  explicit PfLink(std::filesystem::path socket, std::chrono::milliseconds limit = std::chrono::seconds(30))
      : socket_(std::move(socket)), limit_(limit) {}

  // Nobody there is a work error.
  Result<PortWishes> wishes() const;
  // What the registers say, and what the manager knows besides.
  Result<pf::PortView> show() const;
  // Only what would be; what the NIC cannot do is an input error with the alternative.
  Result<Amended> plan(const pf::Amendment& amendment) const;
  Result<Amended> amend(const pf::Amendment& amendment) const;

 private:
  Result<Amended> ask(const pf::Amendment& amendment, bool dry_run) const;
  std::filesystem::path socket_;
  std::chrono::milliseconds limit_;
};

}  // namespace vigia::orch
