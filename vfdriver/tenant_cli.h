// SPDX-License-Identifier: Apache-2.0
// The command line of `vigia-capture tenant`.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace vigia::vf {

// Adds the subcommand "tenant". After parsing: if the returned subcommand was given, call run(): it serves until
// SIGTERM or SIGINT, reports errors on stderr and returns the process's exit status.
struct TenantCommand {
  CLI::App* subcommand;  // owned by the App it was added to
  std::function<int()> run;
};
TenantCommand add_tenant_command(CLI::App& app);

}  // namespace vigia::vf
