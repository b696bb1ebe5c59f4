// SPDX-License-Identifier: Apache-2.0
// vigia-capture: captures from a virtual function, listens to captures, converts what they wrote.
#include <CLI/CLI.hpp>

#include "hw/log.h"
#include "vfdriver/capture_cli.h"
#include "vfdriver/tenant_cli.h"

int main(int argc, char** argv) {
  using namespace vigia;
  log::set_program("vigia-capture");
  CLI::App app("Captures every frame that a virtual function receives, with a time stamp and an account of each loss.",
               "vigia-capture");
  app.set_version_flag("--version", "vigia-capture " VIGIA_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Running captures are found by name in $VIGIA_RUN_DIR, else /run/vigia (root), $XDG_RUNTIME_DIR/vigia or\n"
      "/tmp/vigia-UID. `vigia-capture COMMAND --help` tells more.");
  const std::vector<vf::CaptureCommand> commands{vf::add_run_command(app),     vf::add_serve_command(app),
                                                 vf::add_attach_command(app),  vf::add_convert_command(app),
                                                 vf::add_extract_command(app), vf::add_info_command(app)};
  const vf::TenantCommand tenant = vf::add_tenant_command(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help is an "error" with status 0; everything else is wrong input.
    return app.exit(error) == 0 ? 0 : 2;
  }
  for (const vf::CaptureCommand& command : commands) {
    if (*command.subcommand) return command.run();
  }
  return tenant.run();
}
