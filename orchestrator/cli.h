// SPDX-License-Identifier: Apache-2.0
// The command line of the host command `vigia`.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace vigia::orch {

// After parsing: if the subcommand was given, run() does the work, prints, and returns the process's exit status.
struct HostCommand {
  CLI::App* subcommand;  // owned by the App it was added to
  std::function<int()> run;
};

// command: "probe", "agent" or "tenant".
HostCommand add_vm_command(CLI::App& app, std::string_view command);
HostCommand add_ls_command(CLI::App& app);
HostCommand add_repair_command(CLI::App& app);
HostCommand add_console_command(CLI::App& app);
HostCommand add_exec_command(CLI::App& app);
HostCommand add_expire_command(CLI::App& app);
HostCommand add_lab_command(CLI::App& app);
HostCommand add_ledger_command(CLI::App& app);
HostCommand add_plan_command(CLI::App& app);
HostCommand add_inventory_command(CLI::App& app);
HostCommand add_pull_command(CLI::App& app);
HostCommand add_doctor_command(CLI::App& app);
// `vigia host ..`: what has to be done once on a host.
HostCommand add_host_command(CLI::App& app);
HostCommand add_explain_command(CLI::App& app);
// Completes whatever app holds when it is run, so it may be added first or last.
HostCommand add_completion_command(CLI::App& app);

}  // namespace vigia::orch
