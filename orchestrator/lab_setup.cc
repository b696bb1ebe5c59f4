// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/lab_setup.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <system_error>
#include <utility>

#include "orchestrator/child.h"
#include "orchestrator/lab_files.h"
#include "pfdriver/plan.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;

// sun_path holds 107 characters and a NUL; "/pf.control.lock" leaves room for what a server may append.
constexpr std::size_t kLongestSocketFolder = 107 - 16;

Result<Done> make_folder(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error) return os_error("create the folder " + dir.string(), error.value());
  if (auto old = read_manifest(dir); old && old->pid != ::getpid() && process_exists(old->pid)) {
    return input_error(
        fmt::format("{}: a lab is running there (process {}); name another folder or stop it", dir.string(), old->pid));
  }
  return Done{};
}

// What an earlier run with the same names left, so that no reader takes it for ours.
void remove_leftovers(const LabSpec& spec, const LabPaths& paths) {
  std::error_code ignored;
  const auto forget = [&](const std::string& name) {
    for (const fs::path& file :
         {paths.counters(name), paths.ready(name), paths.log(name), paths.dir / (name + ".json")}) {
      fs::remove(file, ignored);
    }
  };
  for (const TenantSpec& t : spec.tenants) forget(t.name);
  for (const AgentSpec& a : spec.agents) {
    forget(a.name);
    if (const fs::path capture = paths.capture(a); !capture.empty()) fs::remove_all(capture, ignored);
  }
  for (const char* name : {"softnic", "pf", "lab"}) forget(name);
  for (const fs::path& file : {paths.wire(), paths.pf_config(), paths.send_start()}) fs::remove(file, ignored);
}

Result<Done> write_file(const fs::path& file, const std::string& text) {
  std::ofstream out(file);
  out << text;
  out.close();
  if (!out) return os_error("write " + file.string());
  return Done{};
}

Result<PreparedTraffic> prepare(const LabSpec& spec, const fs::path& from, const fs::path& to,
                                const std::atomic<bool>& interrupted) {
  std::vector<Receiver> receivers;
  for (const TenantSpec& t : spec.tenants) receivers.push_back({t.mac, t.match});
  return prepare_traffic(from, to, receivers, spec.nobody,
                         [&] { return interrupted.load(std::memory_order_relaxed); });  // a flag, orders nothing
}

// The first `count` frames that softnic's generator makes, shared out; the result is in paths.wire().
Result<PreparedTraffic> share_out_first(const LabSetup& setup, std::uint64_t count,
                                        const std::atomic<bool>& interrupted) {
  const fs::path made = setup.paths.dir / "gen.pcap";
  const GenSpec& gen = *setup.spec.traffic.gen;
  const std::string wire = fmt::format("gen:size={},flows={},count={}", gen.size, gen.flows, count);
  auto maker = Child::start({"generator",
                             {setup.paths.programs / "vigia-softnic", "--wire", wire, "--dump", made},
                             setup.paths.log("generator")});
  if (!maker) return maker.error();
  maker->wait_or_kill(std::chrono::minutes(1));
  if (const auto& ending = maker->ending(); !ending || !ending->clean()) {
    return work_error(
        fmt::format("vigia-softnic --dump {}: {}", made.string(), last_lines(setup.paths.log("generator"), 3)));
  }
  auto traffic = prepare(setup.spec, made, setup.paths.wire(), interrupted);
  std::error_code ignored;
  fs::remove(made, ignored);
  fs::remove(setup.paths.log("generator"), ignored);
  return traffic;
}

// Adds `rounds` times what one round holds.
void add(PreparedTraffic& sum, const PreparedTraffic& round, std::uint64_t rounds) {
  const auto add_share = [rounds](Share& to, const Share& from) {
    to.frames += from.frames * rounds;
    to.bytes += from.bytes * rounds;
  };
  sum.receivers.resize(round.receivers.size());
  for (std::size_t i = 0; i < round.receivers.size(); ++i) add_share(sum.receivers[i], round.receivers[i]);
  add_share(sum.unmatched, round.unmatched);
  add_share(sum.total, round.total);
}

// One round of the flows is made, shared out by the tenants' filters and played as often as count says.
Result<Done> share_out_generated(LabSetup& setup, const std::atomic<bool>& interrupted) {
  const GenSpec& gen = *setup.spec.traffic.gen;
  const std::uint64_t round = std::min<std::uint64_t>(gen.flows, gen.count), rest = gen.count % round;
  PreparedTraffic all;
  if (rest != 0) {  // the last, shorter round: counted first, because the wire's file is to hold a whole one
    const auto last = share_out_first(setup, rest, interrupted);
    if (!last) return last.error();
    add(all, *last, 1);
  }
  const auto whole = share_out_first(setup, round, interrupted);
  if (!whole) return whole.error();
  add(all, *whole, gen.count / round);
  setup.frames_to_send = all.total.frames;
  setup.unmatched = all.unmatched.frames;
  setup.traffic = std::move(all);
  return Done{};
}

Result<Done> fill_traffic(LabSetup& setup, const std::atomic<bool>& interrupted) {
  const LabSpec& spec = setup.spec;
  if (spec.shares_out_generated()) return share_out_generated(setup, interrupted);
  if (spec.traffic.gen) {
    setup.frames_to_send = spec.traffic.gen->count;
    setup.unmatched = spec.tenants.empty() ? spec.traffic.gen->count : 0;
    return Done{};
  }
  auto traffic = prepare(spec, spec.resolve(spec.traffic.file), setup.paths.wire(), interrupted);
  if (!traffic) return traffic.error();
  setup.frames_to_send = traffic->total.frames * spec.traffic.loop;
  setup.unmatched = traffic->unmatched.frames * spec.traffic.loop;
  setup.traffic = std::move(*traffic);
  return Done{};
}

}  // namespace

Result<SocketFolder> SocketFolder::choose(const fs::path& dir) {
  if (dir.native().size() <= kLongestSocketFolder) return SocketFolder(dir, false);
  const char* tmp = std::getenv("TMPDIR");
  std::string pattern = (fs::path(tmp && *tmp ? tmp : "/tmp") / "vigia-XXXXXX").string();
  if (pattern.size() > kLongestSocketFolder) {
    return input_error(fmt::format("TMPDIR={} is too long for sockets; set it to a path below {} characters", tmp,
                                   kLongestSocketFolder - 13));
  }
  if (!::mkdtemp(pattern.data())) return os_error("create the socket folder " + pattern);
  return SocketFolder(pattern, true);
}

SocketFolder::SocketFolder(SocketFolder&& other) noexcept
    : path_(std::move(other.path_)), made_(std::exchange(other.made_, false)) {}

SocketFolder& SocketFolder::operator=(SocketFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(made_, other.made_);
  return *this;
}

SocketFolder::~SocketFolder() {
  std::error_code ignored;
  if (made_) fs::remove_all(path_, ignored);
}

Result<fs::path> find_programs() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (error) return os_error("find the folder of this program", error.value());
  for (const char* program : {"vigia-softnic", "vigia-pf", "vigia-capture"}) {
    const fs::path path = self.parent_path() / program;
    if (::access(path.c_str(), X_OK) != 0)
      return os_error(fmt::format("find {} (it is built beside vigia)", path.string()));
  }
  return self.parent_path();
}

Result<LabSetup> set_up_lab(LabSpec spec, const fs::path& out, const std::atomic<bool>& interrupted) {
  const pf::PfConfig config = pf_config(spec);
  const pf::Plan plan = pf::make_plan(pf::capabilities_82599(), pf::complete(config), pf::Current{});
  if (auto fits = pf::verdict(plan); !fits) return fits.error();
  auto programs = find_programs();
  if (!programs) return programs.error();
  const fs::path dir = fs::absolute(out).lexically_normal();
  if (auto made = make_folder(dir); !made) return made.error();
  auto sockets = SocketFolder::choose(dir);
  if (!sockets) return sockets.error();

  LabPaths paths{dir, sockets->path(), *programs};
  LabSetup setup{std::move(spec), paths, std::move(*sockets), {}, plan.scopes, plan.warnings, {}, 0, 0};
  setup.commands = lab_commands(setup.spec, paths);
  remove_leftovers(setup.spec, paths);
  if (auto traffic = fill_traffic(setup, interrupted); !traffic) return traffic.error();
  if (auto written = write_file(paths.pf_config(), pf_yaml(config)); !written) return written.error();
  return setup;
}

}  // namespace vigia::orch
