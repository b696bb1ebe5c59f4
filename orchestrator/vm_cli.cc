// SPDX-License-Identifier: Apache-2.0
// `vigia probe|agent|tenant up|down`.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "hw/log.h"
#include "hw/values.h"
#include "orchestrator/cli.h"
#include "orchestrator/cli_kit.h"
#include "orchestrator/expiry.h"
#include "orchestrator/guest_ready.h"
#include "orchestrator/repair.h"
#include "orchestrator/vm_down.h"
#include "orchestrator/vm_up.h"

namespace vigia::orch {
namespace {

using nlohmann::ordered_json;

struct Kind {
  const char* command;
  VmKind kind;
  const char* meaning;
};
constexpr Kind kKinds[] = {{"probe", VmKind::vnp, "Virtual network probes: VMs that capture a whole port"},
                           {"agent", VmKind::vnma, "Monitoring agents: VMs that receive a copy of tenants' traffic"},
                           {"tenant", VmKind::tenant, "VMs whose traffic is looked at, for labs and tests"}};

struct UpOptions {
  std::vector<std::string> files;
  std::string uri, lifetime, wait = "180s";
  bool json = false, quiet = false;
};

std::int64_t seconds_since_epoch() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double total(const Timings& timings) {
  return std::accumulate(timings.begin(), timings.end(), 0.0, [](double sum, const auto& t) { return sum + t.second; });
}

ordered_json to_json(const Timings& timings) {
  ordered_json out = ordered_json::object();
  for (const auto& [step, seconds] : timings) out[step] = seconds;
  return out;
}

LifeHooks hooks_of(const std::string& vm, StepLine& line, std::chrono::milliseconds ready_limit) {
  LifeHooks hooks;
  hooks.step = [vm, &line](std::string_view step) { line.show(vm, step); };
  hooks.interrupted = [] { return interrupted().load(std::memory_order_relaxed); };
  hooks.wait_ready = [ready_limit, stop = hooks.interrupted](const VmMetadata& metadata, const auto& runs) {
    return wait_for_guest(metadata, ready_limit, stop, runs);
  };
  hooks.tell_mirrors = tell_guest_mirrors;
  hooks.stop_guest = [](const VmMetadata& metadata) { return stop_guest_service(metadata); };
  return hooks;
}

// What killed commands left is taken back before anything new is done.
Result<Done> mend_first(LibvirtHost& host, const HostDirs& dirs, const LifeHooks& hooks) {
  const auto state = read_host_state(host, dirs, {});
  if (!state) return state.error();
  std::vector<Damage> unfinished;
  for (Damage& damage : find_damage(*state)) {
    if (damage.kind == Damage::Kind::half_up || damage.kind == Damage::Kind::half_down ||
        damage.kind == Damage::Kind::expired) {
      unfinished.push_back(damage);
    }
  }
  for (const Mended& mended : repair(host, dirs, *state, unfinished, hooks)) {
    log::warning("{}: {}: {}", mended.damage.subject, mended.damage.text,
                 mended.error.empty() ? "taken back" : mended.error);
  }
  return Done{};
}

void print_up(const VmPlan& plan, const UpReport& report) {
  for (const std::string& why : plan.placement.why) fmt::print("  {}\n", why);
  for (const std::string& scope : report.scopes) fmt::print("  mirror: {}\n", scope);
  for (const std::string& remark : report.remarks) fmt::print("  note: {}\n", remark);
  fmt::print("{} is up after {:.1f} s", plan.spec.name, total(report.timings));
  for (const auto& [step, seconds] : report.timings) {
    if (seconds >= 0.05) fmt::print(", {} {:.1f}", step, seconds);
  }
  fmt::print("\n");
}

ordered_json up_json(const VmPlan& plan, const UpReport& report, std::int64_t until) {
  ordered_json out{{"name", plan.spec.name},
                   {"kind", word(plan.spec.kind)},
                   {"accelerator", plan.placement.accelerator == Accelerator::kvm ? "kvm" : "tcg"},
                   {"node", plan.placement.node},
                   {"vcpu_cpus", plan.placement.vcpu_cpus},
                   {"emulator_cpus", plan.placement.emulator_cpus},
                   {"page_size", plan.placement.page_size},
                   {"pages", plan.placement.pages},
                   {"pf", plan.placement.pf},
                   {"mac", plan.metadata.mac},
                   {"channel", plan.metadata.channel},
                   {"shell", plan.files.shell(plan.spec.name).string()},
                   {"why", plan.placement.why},
                   {"scopes", report.scopes},
                   {"remarks", report.remarks},
                   {"timings", to_json(report.timings)},
                   {"total_s", total(report.timings)}};
  if (plan.placement.vf) out["vf"] = *plan.placement.vf;
  if (until != 0) out["until"] = until;
  return out;
}

Result<VmSpec> load(const std::string& file, const Kind& kind, const UpOptions& options) {
  auto spec = load_vm(file);
  if (!spec) return spec.error();
  if (spec->kind != kind.kind) {
    return input_error(fmt::format("{}: vm.kind: is {}; that is for `vigia {} up`", file, word(spec->kind),
                                   std::find_if(std::begin(kKinds), std::end(kKinds), [&](const Kind& k) {
                                     return k.kind == spec->kind;
                                   })->command));
  }
  if (!options.uri.empty()) spec->uri = options.uri;
  return spec;
}

// One VM, up to its end or to nothing.
Result<ordered_json> up_one(const std::string& file, const Kind& kind, const UpOptions& options) {
  auto spec = load(file, kind, options);
  if (!spec) return spec.error();
  const auto ready_limit = hw::parse_duration(options.wait);
  if (!ready_limit) return input_error("--wait: " + ready_limit.error().text);
  auto lasts = spec->lifetime;
  if (!options.lifetime.empty()) {
    const auto lifetime = hw::parse_duration(options.lifetime);
    if (!lifetime) return input_error("--for: " + lifetime.error().text);
    lasts = std::chrono::ceil<std::chrono::seconds>(*lifetime);
  }
  auto host = LibvirtHost::open(spec->uri);
  if (!host) return host.error();
  const HostDirs dirs = HostDirs::from_environment();
  StepLine line(options.quiet);
  const LifeHooks hooks = hooks_of(spec->name, line, *ready_limit);
  if (auto mended = mend_first(*host, dirs, hooks); !mended) return mended.error();
  line.show(spec->name, "planning");
  const auto plan = plan_vm(*host, dirs, std::move(*spec), 0);
  if (!plan) return plan.error();
  const auto report = bring_up(*host, *plan, hooks);
  if (!report) return report.error();
  std::int64_t until = 0;
  if (lasts) {  // its time begins once it is of use
    until = seconds_since_epoch() + lasts->count();
    if (auto timed = start_timer(*host, plan->spec.name, until); !timed) {
      log::warning("{}: {}; `vigia repair` ends it when its time is over", plan->spec.name, timed.error().text);
    }
  }
  line.clear();
  if (!options.json) print_up(*plan, *report);
  return up_json(*plan, *report, until);
}

int up(const Kind& kind, const UpOptions& options) {
  catch_signals();
  ordered_json all = ordered_json::array();
  for (const std::string& file : options.files) {
    auto done = up_one(file, kind, options);
    if (!done) return report_error(done.error(), options.json);
    all.push_back(std::move(*done));
  }
  if (options.json) print_json(all.size() == 1 ? all[0] : all);
  return 0;
}

struct DownOptions {
  std::vector<std::string> names;
  std::string uri;
  bool all = false, json = false, quiet = false;
};

Result<std::vector<Vm>> chosen(LibvirtHost& host, const Kind& kind, const DownOptions& options) {
  std::vector<Vm> out;
  if (options.all) {
    auto catalog = read_catalog(host);
    if (!catalog) return catalog.error();
    for (Vm& vm : catalog->vms) {
      if (vm.metadata.kind == word(kind.kind)) out.push_back(std::move(vm));
    }
    return out;
  }
  for (const std::string& name : options.names) {
    auto vm = find_vm(host, name);
    if (!vm) return vm.error();
    if (vm->metadata.kind != word(kind.kind)) {
      return input_error(fmt::format("{} is a {}, no {}; nothing was done", name, vm->metadata.kind, word(kind.kind)));
    }
    out.push_back(std::move(*vm));
  }
  return out;
}

int down(const Kind& kind, const DownOptions& options) {
  catch_signals();
  auto host = LibvirtHost::open(options.uri);
  if (!host) return report_error(host.error(), options.json);
  const auto vms = chosen(*host, kind, options);
  if (!vms) return report_error(vms.error(), options.json);
  ordered_json all = ordered_json::array();
  for (const Vm& vm : *vms) {
    StepLine line(options.quiet);
    const auto report = take_down(*host, vm, hooks_of(vm.name, line, std::chrono::milliseconds(0)));
    line.clear();
    if (!report) return report_error(report.error(), options.json);
    for (const std::string& remark : report->remarks) log::warning("{}: {}", vm.name, remark);
    if (!options.json) fmt::print("{} is down after {:.1f} s\n", vm.name, total(report->timings));
    all.push_back({{"name", vm.name},
                   {"remarks", report->remarks},
                   {"timings", to_json(report->timings)},
                   {"total_s", total(report->timings)}});
  }
  if (options.json) print_json(all);
  return 0;
}

// What the guest says of itself; for a tenant, that it answers.
int status(const Kind& kind, const DownOptions& options) {
  auto host = LibvirtHost::open(options.uri);
  if (!host) return report_error(host.error(), options.json);
  const auto vms = chosen(*host, kind, options);
  if (!vms) return report_error(vms.error(), options.json);
  ordered_json all = ordered_json::array();
  int worst = 0;
  for (const Vm& vm : *vms) {
    ordered_json entry{{"name", vm.name}, {"state", word(vm.state)}};
    const auto said =
        vm.state == VmState::running ? ask_status(vm.metadata) : Result<std::string>(work_error("the VM does not run"));
    if (said) {
      entry["guest"] = ordered_json::parse(*said, nullptr, false);
    } else {
      entry["error"] = said.error().text;
      worst = 1;
    }
    if (!options.json)
      fmt::print("{}: {}\n{}\n", vm.name, word(vm.state), said ? entry["guest"].dump(2) : "  " + said.error().text);
    all.push_back(std::move(entry));
  }
  if (options.json) print_json(all);
  return worst;
}

}  // namespace

HostCommand add_vm_command(CLI::App& app, std::string_view command) {
  const Kind& kind = *std::find_if(std::begin(kKinds), std::end(kKinds),
                                   [&](const Kind& k) { return std::string_view(k.command) == command; });
  auto up_options = std::make_shared<UpOptions>();
  auto down_options = std::make_shared<DownOptions>();
  CLI::App* group = app.add_subcommand(kind.command, kind.meaning);
  group->require_subcommand(1);

  CLI::App* up_command = group->add_subcommand("up", "Boot it where it belongs, on a VF, and see its service answer");
  up_command->add_option("FILE", up_options->files, "What it is to be: `vigia explain spec`")->required();
  up_command->add_option("--for", up_options->lifetime, "End it after that time: 10m, 2h");
  up_command->add_option("--wait", up_options->wait, "How long its service may take to answer")->capture_default_str();
  up_command->add_option("--uri", up_options->uri, "libvirt to use instead of the file's");
  up_command->add_flag("--json", up_options->json, "Print one JSON object");
  up_command->add_flag("-q,--quiet", up_options->quiet, "No progress");
  up_command->footer(
      "Everything is decided before anything is done: `vigia plan FILE` shows it. If a step fails, or on Ctrl-C, "
      "every\n"
      "step before is taken back; if vigia is killed, its next command or `vigia repair` does so.\n"
      "\n"
      "Exit status: 0 it is up; 1 a step failed and everything was undone; 2 wrong input or impossible, nothing done.");

  CLI::App* down_command = group->add_subcommand("down", "End it, and restore the VF, the mirror rules and the files");
  auto* names = down_command->add_option("NAME", down_options->names, "Which");
  auto* all = down_command->add_flag("--all", down_options->all, "All of this kind");
  names->excludes(all);
  down_options->uri = default_uri();
  down_command->add_option("--uri", down_options->uri, "libvirt to use")->capture_default_str();
  down_command->add_flag("--json", down_options->json, "Print one JSON array");
  down_command->add_flag("-q,--quiet", down_options->quiet, "No progress");
  down_command->footer("The file of its storage stays, with what was captured.");

  auto status_options = std::make_shared<DownOptions>();
  status_options->uri = default_uri();
  CLI::App* status_command = group->add_subcommand("status", "What its service says: device, counters, ring, storage");
  status_command->add_option("NAME", status_options->names, "Which; default: all of this kind");
  status_command->add_option("--uri", status_options->uri, "libvirt to use")->capture_default_str();
  status_command->add_flag("--json", status_options->json, "Print one JSON array");

  return {group, [&kind, up_options, down_options, status_options, up_command, status_command] {
            if (*up_command) return up(kind, *up_options);
            if (*status_command) {
              status_options->all = status_options->names.empty();
              return status(kind, *status_options);
            }
            if (!down_options->all && down_options->names.empty()) {
              return report_error(input_error("say which, or --all"), down_options->json);
            }
            return down(kind, *down_options);
          }};
}

}  // namespace vigia::orch
