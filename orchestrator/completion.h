// SPDX-License-Identifier: Apache-2.0
// Shell completion, generated from the command tree: what the parser knows the shell knows, and nothing is typed twice.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace vigia::orch {

struct CompletionOption {
  std::vector<std::string> names;  // "--json", "-h"
  bool takes_value = false;
  std::vector<std::string> words;  // the values allowed, when the parser has a list
  std::string meaning;
};

// One command or subcommand.
struct CompletionNode {
  std::vector<std::string> path;  // {"vigia", "lab", "run"}
  std::string meaning;
  std::vector<CompletionOption> options;
  std::vector<std::vector<std::string>> positionals;  // of each: the words allowed; none: a file
  std::vector<std::string> subcommands;
};

// The command and everything below it, outermost first.
std::vector<CompletionNode> completion_tree(const CLI::App& app);

// The script for "bash", "zsh" or "fish"; nothing for another shell.
std::optional<std::string> completion_script(const std::vector<CompletionNode>& tree, std::string_view shell);

}  // namespace vigia::orch
