// SPDX-License-Identifier: Apache-2.0
// The program vigia-pf without its command line.
#pragma once

#include <filesystem>
#include <string>

#include "hw/result.h"

namespace vigia::pf {

struct DaemonOptions {
  std::string device;                    // as hw::open_function() takes it
  std::filesystem::path config;          // pf.yaml
  std::filesystem::path control;         // empty: no control socket
  std::filesystem::path journal;         // empty: none
  std::filesystem::path ready;           // created when the port is up; empty: none
  std::string testpmd = "dpdk-testpmd";  // generator dpdk: the program
  bool once = false;                     // bring up, apply, leave all in place, return
};

// Brings the port up and serves it until SIGTERM or SIGINT (then rules are reverted and VFs told), reloading the config
// on SIGHUP. A device that dies ends it with an error. Blocks those signals for the calling thread.
Result<Done> run_daemon(const DaemonOptions& options);

}  // namespace vigia::pf
