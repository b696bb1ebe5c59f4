// SPDX-License-Identifier: Apache-2.0
// The command lines of vigia-capture: run, serve, attach, convert, extract, info.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "vfdriver/capture.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace vigia::vf {

// After parsing: if the subcommand was given, run() does the work and returns the process's exit status.
struct CaptureCommand {
  CLI::App* subcommand;  // owned by the App it was added to
  std::function<int()> run;
};
CaptureCommand add_run_command(CLI::App& app);
CaptureCommand add_attach_command(CLI::App& app);
CaptureCommand add_serve_command(CLI::App& app);
CaptureCommand add_convert_command(CLI::App& app);
CaptureCommand add_extract_command(CLI::App& app);
CaptureCommand add_info_command(CLI::App& app);

// An option whose value is a size ("256M"); a wrong one is a parse error with parse_size()'s sentence.
CLI::Option* add_size_option(CLI::App& app, const std::string& flag, std::uint64_t& target, const std::string& help);

// The process-wide request that SIGINT and SIGTERM set: once to stop, again to hurry. Installs the handlers, and
// ignores SIGPIPE and SIGXFSZ so that a refused write is an error like any other.
StopRequest& stop_on_signals();

// Logs the error and says what the process ends with.
int exit_status_of(const Result<Done>& result);

}  // namespace vigia::vf
