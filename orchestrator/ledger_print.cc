// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/ledger_print.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vigia::orch {
namespace {

std::string shown(const Term& term) {
  return term.frames ? fmt::format("{} {}", grouped(*term.frames), term.account) : fmt::format("? {}", term.account);
}

// "accepted = 10 routed + 2 no_pool": nothing that is zero unless all is, or the line would drown in them.
std::string equation(const Line& line) {
  std::string right;
  for (const Term& term : line.right) {
    if (term.frames != 0u) right += fmt::format("{}{}", right.empty() ? "" : " + ", shown(term));
  }
  return fmt::format("{} = {}", shown(line.left), right.empty() ? std::string_view("0") : std::string_view(right));
}

nlohmann::ordered_json term_json(const Term& term) {
  return term.frames ? nlohmann::ordered_json(*term.frames) : nlohmann::ordered_json(nullptr);
}

}  // namespace

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string ledger_text(const Ledger& ledger) {
  std::size_t where_width = 5, sum_width = 8;
  for (const Line& line : ledger.lines) {
    where_width = std::max(where_width, line.where.size());
    sum_width = std::max(sum_width, equation(line).size());
  }
  std::string text =
      fmt::format("{:<5}  {:<{}}  {:<{}}  {}\n", "stage", "where", where_width, "account", sum_width, "verdict");
  for (const Line& line : ledger.lines) {
    text += fmt::format("{:<5}  {:<{}}  {:<{}}  {}\n", line.stage, line.where, where_width, equation(line), sum_width,
                        verdict_name(line.verdict));
  }
  text += fmt::format("\n{}\n", ledger.first_loss);
  for (const std::string& remark : ledger.remarks) text += fmt::format("Note: {}.\n", remark);
  text += ledger.balanced ? "The ledger balances.\n" : "The ledger does NOT balance.\n";
  return text;
}

nlohmann::ordered_json ledger_json(const Ledger& ledger) {
  nlohmann::ordered_json lines = nlohmann::ordered_json::array();
  for (const Line& line : ledger.lines) {
    nlohmann::ordered_json right = nlohmann::ordered_json::object();
    for (const Term& term : line.right) right[term.account] = term_json(term);
    lines.push_back({{"stage", line.stage},
                     {"where", line.where},
                     {"left", {{line.left.account, term_json(line.left)}}},
                     {"right", right},
                     {"verdict", verdict_name(line.verdict)},
                     {"missing", line.missing}});
  }
  return {{"balanced", ledger.balanced}, {"first_loss", ledger.first_loss}, {"accounts", ledger.accounts},
          {"unknown", ledger.unknown},   {"remarks", ledger.remarks},       {"lines", lines}};
}

}  // namespace vigia::orch
