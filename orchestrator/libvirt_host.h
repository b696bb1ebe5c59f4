// SPDX-License-Identifier: Apache-2.0
// A connection to libvirt, as far as we need one. Every error says what was asked of which libvirt, and what it said.
// One thread at a time.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "hw/result.h"

namespace vigia::orch {

struct DomainView {
  std::string name;
  std::string xml;  // live if it runs, else as defined
  bool running = false;
};

class LibvirtHost {
 public:
  // "qemu:///system", "qemu+unix:///system?socket=..", "test:///default". Nobody there, or no right: a work error with
  // the remedy.
  static Result<LibvirtHost> open(const std::string& uri);
  LibvirtHost(LibvirtHost&&) noexcept;
  LibvirtHost& operator=(LibvirtHost&&) noexcept;
  ~LibvirtHost();

  const std::string& uri() const;

  Result<std::string> capabilities();
  // XML of every PCI and network device; empty where the driver knows none.
  Result<std::vector<std::string>> node_devices();

  Result<std::vector<DomainView>> domains();

  // Persistent: it is there, stopped, until undefine(). A name that is taken is an input error.
  Result<Done> define(const std::string& name, const std::string& xml);
  Result<Done> start(const std::string& name);
  // False also when it is not there.
  Result<bool> runs(const std::string& name);
  // A domain that does not run, or is not there, is no error for these two: what they are to reach is so already.
  Result<Done> destroy(const std::string& name);
  Result<Done> undefine(const std::string& name);
  // Replaces our element in the metadata of the defined and of the running domain.
  Result<Done> set_metadata(const std::string& name, const std::string& element);

 private:
  struct State;
  explicit LibvirtHost(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vigia::orch
