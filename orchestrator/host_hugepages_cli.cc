// SPDX-License-Identifier: Apache-2.0
// `vigia host hugepages`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "orchestrator/cli_kit.h"
#include "orchestrator/host_commands.h"
#include "orchestrator/host_hugepages.h"

namespace vigia::orch {
namespace {

struct Options {
  unsigned node = 0;
  std::string size = "2M";
  std::uint64_t count = 0;
  bool json = false;
};

int run(const Options& options) {
  const std::uint64_t bytes = options.size == "1G" ? std::uint64_t{1} << 30 : std::uint64_t{2} << 20;
  const auto change = set_hugepages("/", options.node, bytes, options.count);
  if (!change) return report_error(change.error(), options.json);
  if (options.json) {
    print_json({{"node", options.node},
                {"size", options.size},
                {"wanted", options.count},
                {"before", change->before},
                {"pages", change->after},
                {"free", change->free}});
  } else {
    fmt::print("node {}: {} pages of {}, {} of them free (before: {})\n", options.node, change->after, options.size,
               change->free, change->before);
  }
  if (change->after == options.count) return 0;
  const bool fewer = change->after < options.count;
  const Error error = work_error(
      fmt::format("node {}: {} pages of {} asked for, the kernel gives {}: {}", options.node, options.count,
                  options.size, change->after,
                  fewer ? "its memory is used or in pieces; `echo 1 > /proc/sys/vm/compact_memory` and try again, or "
                          "reserve them at boot (hugepagesz= hugepages=)"
                        : "the others are in use; take VMs down first (`vigia ls`)"));
  return report_error(error, false);
}

}  // namespace

HostCommand add_host_hugepages(CLI::App& host) {
  auto options = std::make_shared<Options>();
  CLI::App* command = host.add_subcommand("hugepages", "Reserve hugepages on a NUMA node, until the next boot");
  command->add_option("--node", options->node, "NUMA node")->required()->type_name("N");
  command->add_option("--size", options->size, "Of a page")->required()->check(CLI::IsMember({"2M", "1G"}));
  command->add_option("--count", options->count, "Pages in all, not in addition; 0 gives them back")
      ->required()
      ->type_name("K");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Exit status: 0 the node has that many now; 1 it has another number, which is printed; 2 no such node or size.\n"
      "Example: vigia host hugepages --node 1 --size 1G --count 4");
  return {command, [options] { return run(*options); }};
}

}  // namespace vigia::orch
