// SPDX-License-Identifier: Apache-2.0
// `vigia ls`, `repair`, `console`, `exec`, and `expire`, which vigia starts for itself.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "hw/log.h"
#include "hw/values.h"
#include "orchestrator/cli.h"
#include "orchestrator/cli_kit.h"
#include "orchestrator/expiry.h"
#include "orchestrator/guest_ready.h"
#include "orchestrator/guest_shell.h"
#include "orchestrator/repair.h"

namespace vigia::orch {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string uri = default_uri(), name, command, limit = "60s";
  std::vector<std::string> controls;
  bool json = false, dry_run = false;
};

std::string function_text(const Vm& vm) {
  if (vm.metadata.pf.empty()) return "-";
  return vm.metadata.vf ? fmt::format("{} vf{}", vm.metadata.pf, *vm.metadata.vf) : vm.metadata.pf;
}

std::string until_text(std::int64_t until) {
  if (until == 0) return "-";
  const auto left =
      until -
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return left <= 0 ? "over" : fmt::format("{} s", left);
}

ordered_json vm_json(const Vm& vm) {
  ordered_json out{{"name", vm.name},
                   {"kind", vm.metadata.kind},
                   {"state", word(vm.state)},
                   {"pf", vm.metadata.pf},
                   {"mac", vm.metadata.mac},
                   {"tap", vm.metadata.tap},
                   {"channel", vm.metadata.channel},
                   {"until", vm.metadata.until},
                   {"vcpu_cpus", vm.placed.vcpu_cpus},
                   {"spec_file", vm.metadata.spec_file}};
  if (vm.metadata.vf) out["vf"] = *vm.metadata.vf;
  if (vm.placed.node) out["node"] = *vm.placed.node;
  return out;
}

ordered_json damage_json(const Damage& damage) {
  return {{"subject", damage.subject}, {"text", damage.text}, {"remedy", damage.remedy}, {"mendable", damage.mendable}};
}

int list(const Options& options) {
  auto host = LibvirtHost::open(options.uri);
  if (!host) return report_error(host.error(), options.json);
  const auto state = read_host_state(*host, HostDirs::from_environment(), options.controls);
  if (!state) return report_error(state.error(), options.json);
  const auto damages = find_damage(*state);
  if (options.json) {
    ordered_json out{{"vms", ordered_json::array()}, {"damages", ordered_json::array()}};
    for (const Vm& vm : state->catalog.vms) out["vms"].push_back(vm_json(vm));
    for (const Damage& damage : damages) out["damages"].push_back(damage_json(damage));
    print_json(out);
    return 0;
  }
  fmt::print("{:<16} {:<7} {:<12} {:<5} {:<10} {:<30} {:<18} {}\n", "NAME", "KIND", "STATE", "NODE", "CPUS", "FUNCTION",
             "MAC", "ENDS IN");
  for (const Vm& vm : state->catalog.vms) {
    fmt::print("{:<16} {:<7} {:<12} {:<5} {:<10} {:<30} {:<18} {}\n", vm.name, vm.metadata.kind, word(vm.state),
               vm.placed.node ? std::to_string(*vm.placed.node) : "-", cpu_list_text(vm.placed.vcpu_cpus),
               function_text(vm), vm.metadata.mac, until_text(vm.metadata.until));
  }
  for (const Damage& damage : damages)
    fmt::print("! {}: {}; {}\n", damage.subject, damage.text,
               damage.mendable ? "`vigia repair` " + damage.remedy : damage.remedy);
  return 0;
}

int mend(const Options& options) {
  catch_signals();
  auto host = LibvirtHost::open(options.uri);
  if (!host) return report_error(host.error(), options.json);
  const HostDirs dirs = HostDirs::from_environment();
  const auto state = read_host_state(*host, dirs, options.controls);
  if (!state) return report_error(state.error(), options.json);
  const auto damages = find_damage(*state);
  LifeHooks hooks;
  hooks.stop_guest = [](const VmMetadata& vm) { return stop_guest_service(vm); };
  std::vector<Mended> mended;
  if (options.dry_run) {
    for (const Damage& damage : damages) mended.push_back({damage, "not done (--dry-run)"});
  } else {
    mended = repair(*host, dirs, *state, damages, hooks);
  }
  ordered_json out = ordered_json::array();
  bool good = true;
  for (const auto& [damage, error] : mended) {
    good = good && error.empty();
    if (!options.json) {
      fmt::print("{}: {}: {}\n", damage.subject, damage.text, error.empty() ? damage.remedy + ": done" : error);
    }
    ordered_json entry = damage_json(damage);
    entry["error"] = error;
    out.push_back(std::move(entry));
  }
  if (options.json) print_json(out);
  if (!options.json && mended.empty()) fmt::print("nothing to repair\n");
  return good || options.dry_run ? 0 : 1;
}

// virsh has the terminal handling that a console needs.
int console(const Options& options) {
  auto host = LibvirtHost::open(options.uri);
  if (!host) return report_error(host.error(), false);
  const auto vm = find_vm(*host, options.name);
  if (!vm) return report_error(vm.error(), false);
  ::execlp("virsh", "virsh", "-c", options.uri.c_str(), "console", options.name.c_str(), nullptr);
  return report_error(os_error("start virsh (package libvirt-clients)"), false);
}

int execute(const Options& options) {
  catch_signals();
  auto host = LibvirtHost::open(options.uri);
  if (!host) return report_error(host.error(), options.json);
  const auto vm = find_vm(*host, options.name);
  if (!vm) return report_error(vm.error(), options.json);
  const auto limit = hw::parse_duration(options.limit);
  if (!limit) return report_error(input_error("--timeout: " + limit.error().text), options.json);
  if (vm->metadata.kind != word(VmKind::tenant)) {
    return report_error(input_error(fmt::format("{} is a {}: only tenants of a lab have a shell for the host", vm->name,
                                                vm->metadata.kind)),
                        options.json);
  }
  const auto answer = run_in_guest(vm->metadata.channel, options.command, *limit,
                                   [] { return interrupted().load(std::memory_order_relaxed); });
  if (!answer) return report_error(answer.error(), options.json);
  if (options.json) {
    print_json({{"output", answer->output}, {"exit_status", answer->exit_status}});
    return 0;
  }
  fmt::print("{}", answer->output);
  return answer->exit_status;
}

int expire(const Options& options) {
  catch_signals();
  LifeHooks hooks;
  hooks.stop_guest = [](const VmMetadata& vm) { return stop_guest_service(vm); };
  const auto done = wait_and_end(options.uri, options.name, hooks);
  return done ? 0 : report_error(done.error(), false);
}

std::shared_ptr<Options> with_uri(CLI::App& command) {
  auto options = std::make_shared<Options>();
  command.add_option("--uri", options->uri, "libvirt to use")->capture_default_str();
  return options;
}

constexpr const char* kControlHelp = "Also look at the port of this vigia-pf, though no VM uses it";

}  // namespace

HostCommand add_ls_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("ls", "The probes, agents and tenants of this host, and what is wrong");
  auto options = with_uri(*command);
  command->add_option("--control", options->controls, kControlHelp);
  command->add_flag("--json", options->json, "Print one JSON object");
  return {command, [options] { return list(*options); }};
}

HostCommand add_repair_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("repair", "Put right what killed processes left behind");
  auto options = with_uri(*command);
  command->add_option("--control", options->controls, kControlHelp);
  command->add_flag("-n,--dry-run", options->dry_run, "Only say what it would do");
  command->add_flag("--json", options->json, "Print one JSON array");
  command->footer("Exit status: 0 nothing is wrong any more; 1 something could not be put right.");
  return {command, [options] { return mend(*options); }};
}

HostCommand add_console_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("console", "The serial console of a VM; Ctrl-] leaves it");
  auto options = with_uri(*command);
  command->add_option("NAME", options->name, "Which VM")->required();
  return {command, [options] { return console(*options); }};
}

HostCommand add_exec_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("exec", "Run a shell command in a tenant of the lab");
  auto options = with_uri(*command);
  command->add_option("NAME", options->name, "Which tenant")->required();
  command->add_option("COMMAND", options->command, "One line of shell")->required();
  command->add_option("--timeout", options->limit, "How long it may take")->capture_default_str();
  command->add_flag("--json", options->json, "Print output and exit status as one JSON object");
  command->footer("Ends with the exit status of the command in the guest; 1 or 2 also when it could not be run.");
  return {command, [options] { return execute(*options); }};
}

HostCommand add_expire_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("expire", "Wait for the end of a VM's time and take it down");
  command->group("");  // vigia starts it itself
  auto options = with_uri(*command);
  command->add_option("NAME", options->name, "Which VM")->required();
  return {command, [options] { return expire(*options); }};
}

}  // namespace vigia::orch
