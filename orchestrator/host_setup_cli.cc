// SPDX-License-Identifier: Apache-2.0
// `vigia host ..`.
#include <CLI/CLI.hpp>
#include <vector>

#include "orchestrator/host_commands.h"

namespace vigia::orch {

HostCommand add_host_command(CLI::App& app) {
  CLI::App* host = app.add_subcommand("host", "Prepare the host for probes");
  host->require_subcommand(1);
  const std::vector<HostCommand> parts{add_host_hugepages(*host), add_host_bind(*host)};
  return {host, [parts] {
            for (const HostCommand& part : parts) {
              if (*part.subcommand) return part.run();
            }
            return 2;
          }};
}

}  // namespace vigia::orch
