// SPDX-License-Identifier: Apache-2.0
// vigia-pf: the physical-function manager of one port.
#include <CLI/CLI.hpp>

#include "hw/log.h"
#include "pfdriver/daemon.h"

int main(int argc, char** argv) {
  using namespace vigia;
  log::set_program("vigia-pf");
  CLI::App app{
      "vigia-pf: drives a port's physical function: brings it up, serves its VFs, mirrors tenants to agents.\n"
      "SIGHUP reads the config again; SIGTERM reverts the rules, tells the VFs and ends."};
  pf::DaemonOptions options;
  app.add_option("--device", options.device,
                 "The physical function: vfio-user:SOCKET, vfio:0000:01:00.0 or uio:0000:01:00.0; for generator kernel "
                 "pci:0000:01:00.0 or the name of its interface; for generator tc none");
  app.add_option("--config", options.config, "pf.yaml; `vigia pf explain` prints its schema")->required();
  app.add_option("--control", options.control, "unix socket for `vigia pf plan|apply|show|revert`");
  app.add_option("--journal", options.journal, "file from which an interrupted change is finished or undone");
  app.add_option("--ready-file", options.ready, "file to create when the port is up");
  app.add_option("--testpmd", options.testpmd, "generator dpdk: DPDK's testpmd")->capture_default_str();
  app.add_flag("--once", options.once, "bring up, apply, leave everything in place and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (auto done = pf::run_daemon(options); !done) {
    log::error("{}", done.error().text);
    return done.error().exit_status();
  }
  return 0;
}
