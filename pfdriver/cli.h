// SPDX-License-Identifier: Apache-2.0
// `vigia pf plan|apply|show|revert|explain`, for the command line of vigia.
#pragma once

namespace CLI {
class App;
}

namespace vigia::pf {

// Adds the subcommand pf to app. What it does runs while app parses; status receives the exit status (0 done, 1 failed
// work, 2 refused or bad input) and must outlive the parsing. Prints to stdout, errors to stderr.
void add_pf_commands(CLI::App& app, int& status);

}  // namespace vigia::pf
