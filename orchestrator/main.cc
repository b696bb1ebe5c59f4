// SPDX-License-Identifier: Apache-2.0
// vigia: the command of the virtualization host.
#include <CLI/CLI.hpp>
#include <vector>

#include "hw/log.h"
#include "orchestrator/cli.h"
#include "pfdriver/cli.h"

int main(int argc, char** argv) {
  using namespace vigia;
  log::set_program("vigia");
  CLI::App app(
      "Virtual network probes on demand: shows an agent what tenants receive and send, and accounts for every frame.",
      "vigia");
  app.set_version_flag("--version", "vigia " VIGIA_VERSION);
  app.require_subcommand(1);
  app.footer("`vigia COMMAND --help` tells more; `vigia explain lab` describes the file of a lab.");
  const std::vector<orch::HostCommand> commands{
      orch::add_vm_command(app, "probe"), orch::add_vm_command(app, "agent"), orch::add_vm_command(app, "tenant"),
      orch::add_plan_command(app),        orch::add_inventory_command(app),   orch::add_ls_command(app),
      orch::add_pull_command(app),        orch::add_console_command(app),     orch::add_exec_command(app),
      orch::add_doctor_command(app),      orch::add_repair_command(app),      orch::add_host_command(app),
      orch::add_expire_command(app),      orch::add_lab_command(app),         orch::add_ledger_command(app),
      orch::add_explain_command(app),     orch::add_completion_command(app)};
  int pf_status = 0;  // `vigia pf` does its work while the command line is parsed
  pf::add_pf_commands(app, pf_status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help is an "error" with status 0; everything else is wrong input.
    return app.exit(error) == 0 ? 0 : 2;
  }
  for (const orch::HostCommand& command : commands) {
    if (*command.subcommand) return command.run();
  }
  return pf_status;
}
