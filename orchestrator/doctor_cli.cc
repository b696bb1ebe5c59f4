// SPDX-License-Identifier: Apache-2.0
// `vigia doctor`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "orchestrator/cli.h"
#include "orchestrator/cli_kit.h"
#include "orchestrator/doctor_facts.h"

namespace vigia::orch {
namespace {

using nlohmann::ordered_json;

struct Options {
  DoctorOptions where;
  std::string name;
  bool json = false;
};

// The folder as vigia-softnic was given it, absolute; or a PF.
Result<Done> check_device(DoctorOptions& where) {
  namespace fs = std::filesystem;
  if (where.device.empty()) return Done{};
  std::error_code failed;
  if (fs::is_directory(where.device, failed)) {
    where.device = fs::canonical(where.device, failed).string();
    return Done{};
  }
  if (!fs::exists(where.root / "sys/bus/pci/devices" / where.device, failed) &&
      !fs::exists(where.root / "sys/class/net" / where.device / "device", failed)) {
    return input_error(where.device +
                       ": neither a folder, nor a PCI device or its interface; --device wants the folder of a "
                       "vigia-softnic (its --dir), or a PF");
  }
  where.pf = std::exchange(where.device, {});
  return Done{};
}

std::string names_of(const Facts& facts) {
  std::string out;
  for (const VmFacts& vm : facts.vms) out += (out.empty() ? "" : ", ") + vm.vm.name;
  return out;
}

// What was looked at, for who reads that nothing was found.
std::string scope_text(const Facts& facts) {
  std::string out = fmt::format("{} VM{}, {} port{}", facts.vms.size(), facts.vms.size() == 1 ? "" : "s",
                                facts.ports.size(), facts.ports.size() == 1 ? "" : "s");
  if (!facts.vms.empty()) out += ": " + names_of(facts);
  return out;
}

void print_findings(const Facts& facts, const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    fmt::print("{} {}: {}: {}\n  evidence: {}\n  remedy:   {}\n\n", word(finding.severity), finding.code,
               finding.subject, finding.sentence, finding.evidence, finding.remedy);
  }
  const auto count = [&](Severity severity) {
    return std::count_if(findings.begin(), findings.end(), [&](const auto& f) { return f.severity == severity; });
  };
  if (findings.empty()) {
    fmt::print("nothing found; looked at the host and {}\n", scope_text(facts));
  } else {
    fmt::print("{} errors, {} warnings, {} notes; looked at the host and {}\n", count(Severity::error),
               count(Severity::warning), count(Severity::note), scope_text(facts));
  }
}

void print_findings_json(const Facts& facts, const std::vector<Finding>& findings) {
  ordered_json out{
      {"vms", ordered_json::array()}, {"ports", ordered_json::array()}, {"findings", ordered_json::array()}};
  for (const VmFacts& vm : facts.vms) out["vms"].push_back({{"name", vm.vm.name}, {"state", word(vm.vm.state)}});
  for (const PortFacts& port : facts.ports) {
    out["ports"].push_back({{"control", port.control}, {"pf", port.pf}, {"scopes", port.view.scopes}});
  }
  for (const Finding& finding : findings) {
    out["findings"].push_back({{"severity", word(finding.severity)},
                               {"code", finding.code},
                               {"subject", finding.subject},
                               {"sentence", finding.sentence},
                               {"evidence", finding.evidence},
                               {"remedy", finding.remedy}});
  }
  print_json(out);
}

int run(Options options) {
  catch_signals();
  if (const auto ok = check_device(options.where); !ok) return report_error(ok.error(), options.json);
  options.where.dirs = HostDirs::from_environment();
  Facts facts = gather_facts(options.where);
  // Without libvirt nothing is known of names, and that is the finding.
  if (!options.name.empty() && facts.host.libvirt == Answer::yes) {
    if (facts.vm(options.name) == nullptr) {
      const std::string names = names_of(facts);
      return report_error(input_error(fmt::format("no VM of vigia is called '{}' at {}; there {}", options.name,
                                                  options.where.uri, names.empty() ? "is none" : "are: " + names)),
                          options.json);
    }
    facts = narrowed(std::move(facts), options.name);
  }
  const std::vector<Finding> findings = diagnose(facts);
  options.json ? print_findings_json(facts, findings) : print_findings(facts, findings);
  const bool bad = std::any_of(findings.begin(), findings.end(),
                               [](const Finding& finding) { return finding.severity == Severity::error; });
  return bad ? 1 : 0;
}

}  // namespace

HostCommand add_doctor_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  options->where.uri = default_uri();
  CLI::App* command = app.add_subcommand("doctor", "Why do I see nothing? What is wrong, with evidence and remedy");
  command->add_option("NAME", options->name, "Only this VM and what it depends on");
  command->add_option("--uri", options->where.uri, "libvirt to use")->capture_default_str();
  command->add_option("--control", options->where.controls, "Also look at the port of this vigia-pf")
      ->type_name("SOCKET");
  command->add_option("--device", options->where.device, "Also look at the vigia-softnic of this folder, or at this PF")
      ->type_name("FOLDER|PF");
  command->add_option("--counters", options->where.counters, "Its counters (default: softnic.counters in the folder)")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Looks at the host, libvirt, the ports of VMs, mirror rules, counters and inside guests; changes nothing. A "
      "party\n"
      "that does not answer within 5 s is a finding itself. The likeliest cause comes first; what cannot be known is "
      "said.\n"
      "Exit status: 0 no errors found (there may be warnings), 1 errors found, 2 wrong input.\n"
      "Examples: vigia doctor\n"
      "          vigia doctor --device 0000:3b:00.0\n"
      "          vigia doctor spy --json | jq '.findings[0]'");
  return {command, [options] { return run(*options); }};
}

}  // namespace vigia::orch
