// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "orchestrator/cli.h"
#include "orchestrator/completion.h"
#include "orchestrator/lab_spec.h"
#include "orchestrator/vm_spec.h"
#include "pfdriver/config.h"

namespace vigia::orch {

HostCommand add_explain_command(CLI::App& app) {
  auto what = std::make_shared<std::string>();
  CLI::App* explain = app.add_subcommand("explain", "The keys of a file, with ranges, defaults and meanings");
  explain
      ->add_option("WHAT", *what,
                   "lab: of `vigia lab run`; pf: of `vigia-pf` and `vigia pf`; spec: of probes, agents and tenants")
      ->required()
      ->check(CLI::IsMember({"lab", "pf", "spec"}));
  return {explain, [what] {
            fmt::print("{}", *what == "lab" ? explain_lab() : *what == "spec" ? explain_spec() : pf::explain_config());
            return 0;
          }};
}

HostCommand add_completion_command(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  CLI::App* completion = app.add_subcommand("completion", "Prints the completion script of a shell");
  completion->add_option("SHELL", *shell, "Which shell")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->footer(
      "bash: source <(vigia completion bash)\n"
      "zsh:  vigia completion zsh > \"${fpath[1]}/_vigia\"\n"
      "fish: vigia completion fish > ~/.config/fish/completions/vigia.fish");
  return {completion, [shell, &app] {
            fmt::print("{}", completion_script(completion_tree(app), *shell).value_or(""));
            return 0;
          }};
}

}  // namespace vigia::orch
