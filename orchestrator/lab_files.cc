// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/lab_files.h"

#include <fmt/format.h>
#include <signal.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "hw/counter_file.h"
#include "orchestrator/pcapng_count.h"

namespace vigia::orch {
namespace {

using nlohmann::ordered_json;

constexpr int kVersion = 1;

ordered_json party_json(const ManifestParty& p) {
  return {{"name", p.name},
          {"vf", p.vf},
          {"role", p.agent ? "agent" : "tenant"},
          {"pid", p.pid},
          {"fate", fate_name(p.fate)},
          {"capture", p.capture}};
}

// Throws nlohmann's exceptions on another shape; read_manifest() turns them into an error.
ManifestParty party_from(const ordered_json& j) {
  ManifestParty p;
  p.name = j.at("name");
  p.vf = j.at("vf");
  p.agent = j.at("role") == "agent";
  p.pid = j.at("pid");
  p.fate = parse_fate(j.at("fate").get<std::string>()).value_or(Fate::died);
  p.capture = j.at("capture");
  return p;
}

Manifest manifest_from(const ordered_json& j) {
  Manifest m;
  m.pid = j.at("pid");
  m.vfs = j.at("vfs");
  if (!j.at("prepared").is_null()) m.prepared = j.at("prepared").get<std::uint64_t>();
  m.unmatched = j.at("unmatched");
  m.softnic_pid = j.at("softnic").at("pid");
  m.softnic_fate = parse_fate(j.at("softnic").at("fate").get<std::string>()).value_or(Fate::died);
  m.pf_pid = j.at("pf").at("pid");
  m.pf_fate = parse_fate(j.at("pf").at("fate").get<std::string>()).value_or(Fate::died);
  for (const ordered_json& p : j.at("parties")) m.parties.push_back(party_from(p));
  return m;
}

std::optional<Counters> counters_of(const std::filesystem::path& dir, const std::string& name) {
  auto snapshot = hw::read_counters(dir / (name + ".counters"));
  if (!snapshot) return std::nullopt;
  return std::move(snapshot->values);
}

Fate fate_now(Fate written, pid_t pid) {
  return written == Fate::running && !process_exists(pid) ? Fate::died : written;
}

}  // namespace

bool process_exists(pid_t pid) {
  if (pid <= 0 || (::kill(pid, 0) != 0 && errno != EPERM)) return false;
  // A killed process whose parent is gone may stay as a zombie for ever where no init collects it: "PID (NAME) Z ...".
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  std::string stat((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const auto end_of_name = stat.rfind(") ");
  return end_of_name == stat.npos || (stat[end_of_name + 2] != 'Z' && stat[end_of_name + 2] != 'X');
}

Result<Done> write_manifest(const std::filesystem::path& dir, const Manifest& m) {
  ordered_json parties = ordered_json::array();
  for (const ManifestParty& p : m.parties) parties.push_back(party_json(p));
  const ordered_json j{{"version", kVersion},
                       {"pid", m.pid},
                       {"vfs", m.vfs},
                       {"prepared", m.prepared ? ordered_json(*m.prepared) : ordered_json(nullptr)},
                       {"unmatched", m.unmatched},
                       {"softnic", {{"pid", m.softnic_pid}, {"fate", fate_name(m.softnic_fate)}}},
                       {"pf", {{"pid", m.pf_pid}, {"fate", fate_name(m.pf_fate)}}},
                       {"parties", parties}};
  // A reader sees the old file or the new one, never a half.
  const auto fresh = dir / "lab.json.new";
  std::ofstream out(fresh);
  out << j.dump(2) << '\n';
  out.close();
  if (!out) return os_error("write " + fresh.string());
  std::error_code error;
  std::filesystem::rename(fresh, dir / "lab.json", error);
  if (error) return os_error("rename " + fresh.string(), error.value());
  return Done{};
}

Result<Manifest> read_manifest(const std::filesystem::path& dir) {
  const auto file = dir / "lab.json";
  std::ifstream in(file);
  if (!in) {
    return input_error(fmt::format("{} holds no lab ({} cannot be read); name the folder of a vigia lab run",
                                   dir.string(), file.string()));
  }
  try {
    const ordered_json j = ordered_json::parse(in);
    if (j.at("version") != kVersion) {
      return input_error(
          fmt::format("{} is of version {}, this vigia reads {}", file.string(), j.at("version").dump(), kVersion));
    }
    return manifest_from(j);
  } catch (const nlohmann::json::exception& e) {
    return input_error(fmt::format("{} is not what a lab run writes: {}", file.string(), e.what()));
  }
}

LedgerInput read_ledger_input(const std::filesystem::path& dir, const Manifest& manifest) {
  LedgerInput input;
  input.vfs = manifest.vfs;
  input.softnic = counters_of(dir, "softnic");
  input.softnic_fate = fate_now(manifest.softnic_fate, manifest.softnic_pid);
  input.prepared = manifest.prepared;
  input.unmatched = manifest.unmatched;
  for (const ManifestParty& p : manifest.parties) {
    Party party{p.name, p.vf, p.agent, fate_now(p.fate, p.pid), counters_of(dir, p.name)};
    party.stores = !p.capture.empty();
    if (party.fate != Fate::running && p.capture.ends_with(".pcapng")) {
      if (auto count = count_pcapng(dir / p.capture)) party.in_file = count->frames;
    }
    input.parties.push_back(std::move(party));
  }
  return input;
}

}  // namespace vigia::orch
