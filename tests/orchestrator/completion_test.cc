// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>

#include "orchestrator/cli.h"
#include "pfdriver/cli.h"
#include "temp_captures.h"

namespace vigia::orch {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class CompletionTest : public ::testing::Test {
 protected:
  CompletionTest() : app_("about", "vigia") {
    add_lab_command(app_);
    add_ledger_command(app_);
    add_explain_command(app_);
    add_completion_command(app_);
    pf::add_pf_commands(app_, status_);
  }
  // What bash offers at the end of that line.
  std::string bash_offers(const std::string& line) const {
    const std::string script = *completion_script(completion_tree(app_), "bash") +
                               "\ncompopt() { :; }\nread -ra COMP_WORDS <<<'" + line + "'\n[[ '" + line +
                               "' == *' ' ]] && COMP_WORDS+=('')\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_vigia\n"
                               "echo \"${COMPREPLY[*]}\"\n";
    FILE* pipe = ::popen(("bash " + dir_.write("script", script).string()).c_str(), "r");
    std::array<char, 4096> text{};
    const std::size_t size = std::fread(text.data(), 1, text.size(), pipe);
    EXPECT_EQ(::pclose(pipe), 0);
    return {text.data(), size};
  }

  int status_ = 0;
  CLI::App app_;
  TempFolder dir_;
};

TEST_F(CompletionTest, TreeIsThatOfTheParser) {
  const auto tree = completion_tree(app_);
  EXPECT_EQ(tree.front().path, std::vector<std::string>{"vigia"});
  EXPECT_THAT(tree.front().subcommands, Contains("pf"));
  bool found = false;
  for (const CompletionNode& node : tree) {
    if (node.path != std::vector<std::string>{"vigia", "lab", "run"}) continue;
    found = true;
    EXPECT_EQ(node.positionals.size(), 1u);
    for (const CompletionOption& o : node.options) {
      const std::string& name = o.names.back();
      EXPECT_EQ(o.takes_value, name == "--out") << name;
    }
  }
  EXPECT_TRUE(found);
}

TEST_F(CompletionTest, BashOffersWhatFits) {
  EXPECT_EQ(bash_offers("vigia l"), "lab ledger\n");
  EXPECT_EQ(bash_offers("vigia lab "), "run\n");
  EXPECT_THAT(bash_offers("vigia lab run --"), HasSubstr("--out"));
  EXPECT_THAT(bash_offers("vigia lab run --"), HasSubstr("--json"));
  EXPECT_EQ(bash_offers("vigia completion "), "bash zsh fish\n");
  EXPECT_EQ(bash_offers("vigia explain l"), "lab\n");
  EXPECT_THAT(bash_offers("vigia pf "), HasSubstr("plan"));
  EXPECT_THAT(bash_offers("vigia ledger --"), Not(HasSubstr("--out")));
}

TEST_F(CompletionTest, OtherShellsGetTheSameCommands) {
  const auto tree = completion_tree(app_);
  const std::string fish = *completion_script(tree, "fish"), zsh = *completion_script(tree, "zsh");
  for (const char* word : {"lab", "run", "ledger", "completion", "plan", "revert"}) {
    EXPECT_THAT(fish, HasSubstr(std::string("-a '") + word + "'"));
    EXPECT_THAT(zsh, HasSubstr(word));
  }
  EXPECT_THAT(fish, HasSubstr("-l json"));
  EXPECT_THAT(zsh, HasSubstr("#compdef vigia"));
  EXPECT_FALSE(completion_script(tree, "tcsh"));
}

}  // namespace
}  // namespace vigia::orch
