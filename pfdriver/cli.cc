// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "hw/log.h"
#include "pfdriver/control.h"
#include "pfdriver/kernel/manager.h"
#include "pfdriver/plan.h"
#include "pfdriver/tc/mirrors.h"

namespace vigia::pf {
namespace {

using nlohmann::json;

struct Options {
  std::string config, control, device, journal;
  bool as_json = false;
};

int fail(const Error& error, bool as_json) {
  if (as_json)
    fmt::print("{}\n", json{{"ok", false}, {"error", error.text}}.dump(-1, ' ', false, json::error_handler_t::replace));
  log::error("{}", error.text);
  return error.exit_status();
}

// The daemon's answer, printed as asked. A plan that is refused is an answer, and exit status 2.
int print_answer(const std::string& line, bool as_json) {
  const json reply = json::parse(line, nullptr, false);
  if (!reply.is_object()) return fail(work_error("vigia-pf answered with something that is no JSON object"), as_json);
  if (!reply.value("ok", false)) {
    const bool input = reply.value("status", 1) == 2;
    const std::string text = reply.value("error", std::string("vigia-pf gave no reason"));
    return fail(input ? input_error(text) : work_error(text), as_json);
  }
  const json data = reply.value("data", json::object());
  if (as_json) {
    fmt::print("{}\n", data.dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    fmt::print("{}", reply.value("text", std::string()));
  }
  return data.is_object() && !data.value("applicable", true) ? 2 : 0;
}

int ask(const Options& options, json request) {
  if (!options.config.empty()) {
    // Read and checked here: the daemon need not see the file, and its lines are named as the user knows it.
    if (auto config = load_config(options.config); !config) return fail(config.error(), options.as_json);
    std::ifstream in(options.config, std::ios::binary);
    request["config"] = std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    request["file"] = options.config;
  }
  const auto reply = ask_control(options.control, request.dump(-1, ' ', false, json::error_handler_t::replace));
  return reply ? print_answer(*reply, options.as_json) : fail(reply.error(), options.as_json);
}

int plan(const Options& options) {
  if (!options.control.empty()) return ask(options, {{"command", "plan"}});
  const auto config = load_config(options.config);
  if (!config) return fail(config.error(), options.as_json);
  Plan plan;
  if (!options.device.empty()) {
    auto ways = open_kernel_ways(options.device);
    if (!ways) return fail(ways.error(), options.as_json);
    plan = KernelManager::look_only(std::move(*ways))->plan(*config);
  } else {
    plan = make_plan(capabilities_82599(), *config, Current{});
  }
  fmt::print("{}{}", options.as_json ? plan_json(plan) : plan_text(plan), options.as_json ? "\n" : "");
  return plan.applicable() ? 0 : 2;
}

Result<std::vector<std::string>> repair_mirrors() {
  auto control = open_traffic_control();
  if (!control) return control.error();
  return remove_all_mirrors(**control);
}

Result<std::vector<std::string>> repair_port(const Options& options) {
  if (options.device == "tc") return repair_mirrors();
  if (options.journal.empty()) return input_error("which journal? name the one that vigia-pf was given with --journal");
  auto ways = open_kernel_ways(options.device);
  if (!ways) return ways.error();
  return repair_kernel_port(std::move(*ways), options.journal);
}

int repair(const Options& options) {
  const auto done = repair_port(options);
  if (!done) return fail(done.error(), options.as_json);
  if (options.as_json) {
    fmt::print("{}\n", json{{"repaired", *done}}.dump(2, ' ', false, json::error_handler_t::replace));
  } else if (done.value().empty()) {
    fmt::print("nothing to repair\n");
  }
  for (const std::string& line : options.as_json ? std::vector<std::string>{} : *done) fmt::print("{}\n", line);
  return 0;
}

void add_repair(CLI::App& pf, int& status) {
  auto options = std::make_shared<Options>();
  CLI::App* command = pf.add_subcommand(
      "repair", "put back what a vigia-pf of generator kernel or tc left that was killed; it must not run");
  command->add_option("--device", options->device, "pci:ADDRESS of the port, or its interface; or tc: every mirror")
      ->required();
  command->add_option("--journal", options->journal, "the journal that vigia-pf was given; not for tc");
  command->add_flag("--json", options->as_json, "print one JSON object");
  command->callback([options, &status] { status = repair(*options); });
}

}  // namespace

void add_pf_commands(CLI::App& app, int& status) {
  CLI::App* pf = app.add_subcommand("pf", "the physical-function manager: plan, apply, show, revert, repair, explain");
  pf->require_subcommand(1);
  const auto add = [&](const char* name, const char* meaning, bool needs_config, bool needs_control, auto run) {
    auto options = std::make_shared<Options>();
    CLI::App* command = pf->add_subcommand(name, meaning);
    if (needs_config) command->add_option("--config", options->config, "pf.yaml")->required();
    auto* control = command->add_option("--control", options->control, "control socket of a running vigia-pf");
    if (needs_control) control->required();
    if (needs_config && !needs_control) {
      command->add_option("--device", options->device, "generator kernel: pci:ADDRESS or interface of the live port");
    }
    command->add_flag("--json", options->as_json, "print one JSON object");
    command->callback([options, run, &status] { status = run(*options); });
  };
  add("plan", "print what would change and the effective scope of each mirror rule; without --control: from nothing",
      true, false, [](const Options& o) { return plan(o); });
  add("apply", "make it so, and read it back", true, true, [](const Options& o) {
    return ask(o, {{"command", "apply"}});
  });
  add("show", "print the live state, from the registers", false, true, [](const Options& o) {
    return ask(o, {{"command", "show"}});
  });
  add("revert", "remove every tap and what it needed", false, true, [](const Options& o) {
    return ask(o, {{"command", "revert"}});
  });
  add("status", "print what the running vigia-pf has counted", false, true, [](const Options& o) {
    return ask(o, {{"command", "status"}});
  });
  add_repair(*pf, status);
  pf->add_subcommand("explain", "print the schema of pf.yaml")->callback([&status] {
    fmt::print("{}", explain_config());
    status = 0;
  });
}

}  // namespace vigia::pf
