// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/lab_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "orchestrator/ledger_print.h"

namespace vigia::orch {
namespace {

using nlohmann::ordered_json;
using Number = std::optional<std::uint64_t>;

Number find(const Counters& counters, const std::string& name) {
  const auto found = counters.find(name);
  return found == counters.end() ? Number() : Number(found->second);
}
Number find(const std::optional<Counters>& counters, const std::string& name) {
  return counters ? find(*counters, name) : Number();
}

ordered_json json_of(const Number& number) { return number ? ordered_json(*number) : ordered_json(nullptr); }
std::string text_of(const Number& number) { return number ? grouped(*number) : "?"; }

const Party* party_named(const LabResult& result, const std::string& name) {
  for (const Party& p : result.input.parties) {
    if (p.name == name) return &p;
  }
  return nullptr;
}

// What an agent holds: frames in its file, or taken into its ring when it has none.
struct Held {
  Number frames, bytes, lost, mirror_copies;
};

Held held_by(const LabResult& result, const AgentSpec& agent) {
  const Party* party = party_named(result, agent.name);
  if (!party) return {};
  Held held;
  held.frames =
      party->in_file ? party->in_file : find(party->counters, party->stores ? "store.stored" : "engine.appended");
  held.bytes = find(party->counters, party->stores ? "store.stored_bytes" : "engine.taken_bytes");
  held.lost = lost_for_agent(result.input, *party);
  held.mirror_copies = find(result.softnic, fmt::format("vf{}.mirror_copies", agent.vf));
  return held;
}

std::string file_of(const LabSetup& setup, const AgentSpec& agent) { return setup.paths.capture(agent).string(); }

ordered_json agent_json(const LabSetup& setup, const LabResult& result, const AgentSpec& agent) {
  const Held held = held_by(result, agent);
  const std::string file = file_of(setup, agent);
  return {{"name", agent.name},
          {"vf", agent.vf},
          {"mac", agent.mac.text()},
          {"frames", json_of(held.frames)},
          {"bytes", json_of(held.bytes)},
          {"lost", json_of(held.lost)},
          {"mirror_copies", json_of(held.mirror_copies)},
          {"file", file.empty() ? ordered_json(nullptr) : ordered_json(file)}};
}

ordered_json tenant_json(const LabSetup& setup, const LabResult& result, std::size_t index) {
  const TenantSpec& tenant = setup.spec.tenants[index];
  const Party* party = party_named(result, tenant.name);
  const Number matched =
      setup.traffic
          ? Number(setup.traffic->receivers[index].frames * (setup.spec.traffic.gen ? 1 : setup.spec.traffic.loop))
          : Number(index == 0 ? setup.frames_to_send : 0);
  return {{"name", tenant.name},
          {"vf", tenant.vf},
          {"mac", tenant.mac.text()},
          {"frames", json_of(party ? find(party->counters, "engine.taken") : Number())},
          {"bytes", json_of(party ? find(party->counters, "engine.taken_bytes") : Number())},
          {"matched", json_of(matched)}};
}

double seconds(const Number& ns) { return static_cast<double>(ns.value_or(0)) / 1e9; }

std::string actor_line(std::string_view name, std::string_view where, const Number& frames, const Number& bytes,
                       std::string_view remark) {
  return fmt::format("  {:<16} {:<6} {:>15} frames {:>18} bytes{}{}\n", name, where, text_of(frames), text_of(bytes),
                     remark.empty() ? "" : "  ", remark);
}

std::string actors_text(const LabSetup& setup, const LabResult& result) {
  std::string text = actor_line(
      "wire", "", find(result.softnic, "wire.sent"), find(result.softnic, "wire.sent_bytes"),
      fmt::format("{} of {} prepared", text_of(find(result.softnic, "wire.sent")), grouped(setup.frames_to_send)));
  for (const TenantSpec& t : setup.spec.tenants) {
    const Party* party = party_named(result, t.name);
    text += actor_line(t.name, fmt::format("vf{}", t.vf), party ? find(party->counters, "engine.taken") : Number(),
                       party ? find(party->counters, "engine.taken_bytes") : Number(), "");
  }
  text += actor_line("(nobody)", "", setup.unmatched, Number(), "no tenant's; sent to an address that nobody owns");
  for (const AgentSpec& a : setup.spec.agents) {
    const Held held = held_by(result, a);
    text += actor_line(a.name, fmt::format("vf{}", a.vf), held.frames, held.bytes,
                       fmt::format("agent, {} lost", text_of(held.lost)));
  }
  return text;
}

}  // namespace

std::string lab_opening(const LabSetup& setup) {
  const LabSpec& spec = setup.spec;
  std::string text = fmt::format(
      "Lab {}: software 82599 with {} VFs, {} frames from {}, rate {}\n", spec.file.string(), spec.vfs,
      grouped(setup.frames_to_send), spec.traffic.gen ? "the generator" : spec.resolve(spec.traffic.file).string(),
      spec.traffic.gen && !spec.traffic.gen->rate.empty() ? spec.traffic.gen->rate : spec.traffic.rate);
  for (const std::string& scope : setup.scopes) text += fmt::format("Effective scope: {}\n", scope);
  for (const std::string& warning : setup.warnings) text += fmt::format("Warning: {}\n", warning);
  return text;
}

std::string lab_text(const LabSetup& setup, const LabResult& result) {
  std::string text = fmt::format("\n{}\n{}", actors_text(setup, result), ledger_text(result.ledger));
  for (const std::string& problem : result.problems) text += fmt::format("Problem: {}.\n", problem);
  text += fmt::format("Ready after {:.2f} s, ran {:.2f} s, stopped in {:.2f} s.\n\n", result.timings.start_s,
                      result.timings.run_s, result.timings.stop_s);
  for (const AgentSpec& a : setup.spec.agents) {
    if (const std::string file = file_of(setup, a); !file.empty()) text += fmt::format("{}: {}\n", a.name, file);
  }
  return text + fmt::format("Everything else is in {}\n", setup.paths.dir.string());
}

ordered_json lab_json(const LabSetup& setup, const LabResult& result) {
  ordered_json tenants = ordered_json::array(), agents = ordered_json::array(), died = ordered_json::array();
  for (std::size_t i = 0; i < setup.spec.tenants.size(); ++i) tenants.push_back(tenant_json(setup, result, i));
  for (const AgentSpec& a : setup.spec.agents) agents.push_back(agent_json(setup, result, a));
  for (const Death& d : result.died) died.push_back({{"name", d.name}, {"how", d.how}, {"after_s", d.after_s}});
  ordered_json commands{{"softnic", shell_line(setup.commands.softnic)}, {"pf", shell_line(setup.commands.pf)}};
  for (const Command& c : setup.commands.agents) commands[c.name] = shell_line(c);
  for (const Command& c : setup.commands.tenants) commands[c.name] = shell_line(c);
  const auto softnic = [&](const char* name) { return json_of(find(result.softnic, name)); };
  return {{"lab", setup.spec.file.string()},
          {"dir", setup.paths.dir.string()},
          {"wire",
           {{"frames", softnic("wire.sent")},
            {"bytes", softnic("wire.sent_bytes")},
            {"prepared", setup.frames_to_send},
            {"padded", softnic("wire.padded")},
            {"zero_filled", softnic("wire.zero_filled")}}},
          {"tenants", tenants},
          {"agent", agents.empty() ? ordered_json(nullptr) : agents.front()},
          {"agents", agents},
          {"unmatched", {{"frames", setup.unmatched}}},
          {"scope", setup.scopes},
          {"warnings", setup.warnings},
          {"ledger", ledger_json(result.ledger)},
          {"died", died},
          {"problems", result.problems},
          {"timings",
           {{"start_s", result.timings.start_s},
            {"run_s", result.timings.run_s},
            {"stop_s", result.timings.stop_s},
            {"wire_held_s", seconds(find(result.softnic, "wire.held_ns"))}}},
          {"commands", commands},
          {"exit_status", result.exit_status}};
}

}  // namespace vigia::orch
