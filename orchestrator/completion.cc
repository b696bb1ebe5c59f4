// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <sstream>

namespace vigia::orch {
namespace {

using Words = std::vector<std::string>;

// CLI11 keeps the list of an IsMember validator only as its description, "{a,b,c}".
Words words_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const auto open = type.find('{'), close = type.rfind('}');
  Words words;
  if (open == type.npos || close == type.npos || close < open) return words;
  std::stringstream list(type.substr(open + 1, close - open - 1));
  for (std::string word; std::getline(list, word, ',');) words.push_back(word);
  return words;
}

CompletionOption option_of(const CLI::Option& option) {
  CompletionOption out;
  for (const std::string& name : option.get_snames()) out.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) out.names.push_back("--" + name);
  out.takes_value = option.get_items_expected_max() > 0;
  out.words = words_of(option);
  out.meaning = option.get_description();
  return out;
}

void collect(const CLI::App& app, Words path, std::vector<CompletionNode>& out) {
  path.push_back(app.get_name());
  CompletionNode node{path, app.get_description(), {}, {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      node.positionals.push_back(words_of(*option));
    } else {
      node.options.push_back(option_of(*option));
    }
  }
  // The empty filter lists subcommands in the order in which they were added.
  const auto subcommands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* sub : subcommands) node.subcommands.push_back(sub->get_name());
  out.push_back(std::move(node));
  for (const CLI::App* sub : subcommands) collect(*sub, path, out);
}

std::string single_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// The first sentence, without what shells would take for syntax of their completion systems.
std::string short_meaning(std::string_view text) {
  text = text.substr(0, std::min(text.find('\n'), text.find(". ")));
  std::string out;
  for (const char c : text) out += c == ':' || c == '[' || c == ']' ? ' ' : c;
  return out;
}

Words all_names(const CompletionNode& node) {
  Words names;
  for (const CompletionOption& o : node.options) names.insert(names.end(), o.names.begin(), o.names.end());
  return names;
}

// What may stand at the end of a command line of this node, options aside.
Words next_words(const CompletionNode& node) {
  Words words = node.subcommands;
  for (const Words& positional : node.positionals) words.insert(words.end(), positional.begin(), positional.end());
  return words;
}

bool takes_files(const CompletionNode& node) {
  for (const Words& positional : node.positionals) {
    if (positional.empty()) return true;
  }
  return false;
}

// bash and zsh (through bashcompinit) share one function: it walks the words already typed down the tree, then offers.
std::string bash_script(const std::vector<CompletionNode>& tree) {
  const std::string& program = tree.front().path.front();
  std::string commands, cases;
  for (const CompletionNode& node : tree) {
    const std::string path = fmt::format("{}", fmt::join(node.path, " "));
    commands += fmt::format("      {}) known={} ;;\n", single_quoted(path),
                            single_quoted(fmt::format("{}", fmt::join(node.subcommands, " "))));
    for (const CompletionOption& o : node.options) {
      if (!o.takes_value) continue;
      for (const std::string& name : o.names) {
        const std::string offer = o.words.empty()
                                      ? "compopt -o default 2>/dev/null; COMPREPLY=()"
                                      : fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))",
                                                    single_quoted(fmt::format("{}", fmt::join(o.words, " "))));
        cases += fmt::format("    {}) {}; return ;;\n", single_quoted(fmt::format("{} {}", path, name)), offer);
      }
    }
  }
  std::string offers;
  for (const CompletionNode& node : tree) {
    offers += fmt::format("    {}) words={} options={} files={} ;;\n",
                          single_quoted(fmt::format("{}", fmt::join(node.path, " "))),
                          single_quoted(fmt::format("{}", fmt::join(next_words(node), " "))),
                          single_quoted(fmt::format("{}", fmt::join(all_names(node), " "))), takes_files(node) ? 1 : 0);
  }
  return fmt::format(R"(# bash completion for {0}
_{0}() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} path={0} known words options files i
  for ((i = 1; i < COMP_CWORD; i++)); do
    known=
    case $path in
{1}    esac
    case " $known " in *" ${{COMP_WORDS[i]}} "*) path="$path ${{COMP_WORDS[i]}}" ;; esac
  done
  case "$path $prev" in
{2}  esac
  case $path in
{3}  esac
  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$cur")); return; fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [[ $files == 1 ]]; then compopt -o default 2>/dev/null; fi
}}
complete -F _{0} {0}
)",
                     program, commands, cases, offers);
}

std::string zsh_script(const std::vector<CompletionNode>& tree) {
  return "#compdef " + tree.front().path.front() + "\nautoload -U +X bashcompinit && bashcompinit\n" +
         "compopt() { :; }\n" + bash_script(tree);
}

// fish asks a condition for each line: all words of the path are there and no subcommand of the last is.
std::string fish_condition(const CompletionNode& node) {
  std::string condition = node.path.size() == 1 ? "true" : "";
  for (std::size_t i = 1; i < node.path.size(); ++i) {
    condition += fmt::format("{}__fish_seen_subcommand_from {}", i > 1 ? "; and " : "", node.path[i]);
  }
  if (!node.subcommands.empty()) {
    condition += fmt::format("; and not __fish_seen_subcommand_from {}", fmt::join(node.subcommands, " "));
  }
  return single_quoted(condition);
}

std::string fish_script(const std::vector<CompletionNode>& tree) {
  const std::string& program = tree.front().path.front();
  std::string out = fmt::format("# fish completion for {0}\ncomplete -c {0} -f\n", program);
  for (const CompletionNode& node : tree) {
    const std::string condition = fish_condition(node);
    for (const CompletionNode& sub : tree) {
      const bool child =
          sub.path.size() == node.path.size() + 1 && std::equal(node.path.begin(), node.path.end(), sub.path.begin());
      if (child) {
        out += fmt::format("complete -c {} -n {} -a {} -d {}\n", program, condition, single_quoted(sub.path.back()),
                           single_quoted(short_meaning(sub.meaning)));
      }
    }
    for (const Words& positional : node.positionals) {
      out += positional.empty() ? fmt::format("complete -c {} -n {} -F\n", program, condition)
                                : fmt::format("complete -c {} -n {} -a {}\n", program, condition,
                                              single_quoted(fmt::format("{}", fmt::join(positional, " "))));
    }
    for (const CompletionOption& o : node.options) {
      out += fmt::format("complete -c {} -n {}", program, condition);
      for (const std::string& name : o.names) {
        out += name.starts_with("--") ? fmt::format(" -l {}", name.substr(2)) : fmt::format(" -s {}", name.substr(1));
      }
      if (o.takes_value) {
        out += o.words.empty() ? " -r -F"
                               : fmt::format(" -x -a {}", single_quoted(fmt::format("{}", fmt::join(o.words, " "))));
      }
      out += fmt::format(" -d {}\n", single_quoted(short_meaning(o.meaning)));
    }
  }
  return out;
}

}  // namespace

std::vector<CompletionNode> completion_tree(const CLI::App& app) {
  std::vector<CompletionNode> tree;
  collect(app, {}, tree);
  return tree;
}

std::optional<std::string> completion_script(const std::vector<CompletionNode>& tree, std::string_view shell) {
  if (shell == "bash") return bash_script(tree);
  if (shell == "zsh") return zsh_script(tree);
  if (shell == "fish") return fish_script(tree);
  return std::nullopt;
}

}  // namespace vigia::orch
