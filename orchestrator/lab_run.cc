// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/lab_run.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include "hw/counter_file.h"
#include "orchestrator/capture_input.h"
#include "orchestrator/lab_files.h"
#include "orchestrator/lab_rate.h"
#include "orchestrator/pf_link.h"

namespace vigia::orch {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Not measured: generous for a loaded two-core machine and sanitizer builds.
constexpr milliseconds kReadyLimit{30'000};
constexpr milliseconds kStopLimit{60'000};  // an agent may have a ring of hundreds of MiB to write
constexpr milliseconds kStuck{5'000};       // nothing moved for so long: nothing will
constexpr milliseconds kTransmitQuiet{300};
constexpr milliseconds kReadyStep{5}, kWatchStep{25}, kProgressStep{200};

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

enum class Role { softnic, pf, agent, tenant };

struct Member {
  Role role;
  std::size_t index;  // of the agent or tenant in the lab file
  std::filesystem::path log;
  Child child;
  bool reported = false;      // its ending has been seen and told
  bool unresponsive = false;  // killed by us because it did not stop
};

class Run {
 public:
  Run(const LabSetup& setup, const std::atomic<bool>& interrupted, const LabHooks& hooks)
      : setup_(setup), interrupted_(interrupted), hooks_(hooks) {}

  Result<Done> start();
  void watch();
  void stop();
  LabResult result();

 private:
  using Ready = std::function<bool()>;
  Result<Done> start_one(Role role, std::size_t index, const Command& command, const Ready& ready);
  Result<Done> start_party(Role role, std::size_t index, const Command& command);
  Error early_end(Member& member);
  Result<Done> tell_mirrors() const;
  Result<Done> release_senders();

  // What the counters say at one moment.
  struct View {
    Counters softnic;
    std::vector<std::pair<std::string, std::uint64_t>> taken;
    bool wire_done = false, all_taken = true;
    std::uint64_t transmitted = 0, movement = 0;  // movement changes whenever anything moves
  };
  View look() const;
  void look_at_party(View& view, const std::string& name, unsigned vf, bool agent) const;
  bool all_transmitted(const View& view, Clock::time_point quiet_since) const;
  void show(const View& view);
  void notice_ends();
  void stop_role(Role role);
  void problem(std::string text);
  Member* member(Role role, std::size_t index);
  bool alive(Role role, std::size_t index) const;
  Manifest manifest();
  bool interrupted() const { return interrupted_.load(std::memory_order_relaxed); }  // a flag, orders nothing

  const LabSetup& setup_;
  const std::atomic<bool>& interrupted_;
  const LabHooks& hooks_;
  std::vector<Member> members_;
  std::vector<std::uint64_t> to_transmit_;  // of each tenant
  std::vector<Death> died_;
  std::vector<std::string> problems_;
  LabTimings timings_;
  Clock::time_point born_ = Clock::now(), last_shown_{};
  bool softnic_gone_ = false;
};

// --- Start ----------------------------------------------------------------------------------------------------------

Error Run::early_end(Member& m) {
  const std::string words = last_lines(m.log, 3);
  const std::string text = fmt::format("{} {} before it was ready{}{}", m.child.name(), m.child.ending()->text(),
                                       words.empty() ? "" : ": ", words);
  return m.child.ending()->exit_status == 2 ? input_error(text) : work_error(text);
}

Result<Done> Run::start_one(Role role, std::size_t index, const Command& command, const Ready& ready) {
  auto child = Child::start(command);
  if (!child) return child.error();
  members_.push_back({role, index, command.log, std::move(*child)});
  if (auto written = write_manifest(setup_.paths.dir, manifest()); !written) return written.error();
  const auto deadline = Clock::now() + kReadyLimit;
  while (!ready()) {
    if (interrupted()) return Error{std::errc::interrupted, "interrupted before everybody was ready"};
    for (Member& m : members_) {
      if (m.child.ending()) return early_end(m);
    }
    if (Clock::now() > deadline) {
      return Error{std::errc::timed_out,
                   fmt::format("{} is not ready after {} s; its log {} ends with: {}", command.name,
                               kReadyLimit.count() / 1000, command.log.string(), last_lines(command.log, 3))};
    }
    std::this_thread::sleep_for(kReadyStep);
  }
  return Done{};
}

Result<Done> Run::start_party(Role role, std::size_t index, const Command& command) {
  const auto ready = setup_.paths.ready(command.name);
  return start_one(role, index, command, [&] { return std::filesystem::exists(ready); });
}

Result<Done> Run::start() {
  const LabPaths& paths = setup_.paths;
  const LabCommands& commands = setup_.commands;
  // Files of a full disk are found out here, not by a process that cannot say so.
  if (auto written = write_manifest(paths.dir, manifest()); !written) return written.error();
  // softnic listens on the VFs' sockets in order, after the PF's: the last one says that all are there.
  const auto last_socket = paths.vf_socket(setup_.spec.vfs - 1);
  const auto softnic_ready = [&] { return std::filesystem::exists(last_socket); };
  if (auto up = start_one(Role::softnic, 0, commands.softnic, softnic_ready); !up) return up;
  if (auto up = start_party(Role::pf, 0, commands.pf); !up) return up;
  if (auto told = tell_mirrors(); !told) return told;
  // Agents first: a tenant that sends must not do so before those who are to see it.
  for (std::size_t i = 0; i < commands.agents.size(); ++i) {
    if (auto up = start_party(Role::agent, i, commands.agents[i]); !up) return up;
  }
  for (std::size_t i = 0; i < commands.tenants.size(); ++i) {
    if (auto up = start_party(Role::tenant, i, commands.tenants[i]); !up) return up;
  }
  timings_.start_s = seconds_since(born_);
  return release_senders();
}

// For agents that compare duplicates with what the mirrors make.
Result<Done> Run::tell_mirrors() const {
  const auto& agents = setup_.spec.agents;
  if (std::none_of(agents.begin(), agents.end(), [](const AgentSpec& a) { return a.dedup != "off" && a.tap; })) {
    return Done{};
  }
  const auto port = PfLink(setup_.paths.pf_control()).show();
  if (!port) return port.error();
  std::ofstream file(setup_.paths.mirrors());
  file << pf::show_json(*port, pf_config(setup_.spec)) << '\n';
  file.close();
  return file ? Result<Done>(Done{}) : os_error("write " + setup_.paths.mirrors().string());
}

Result<Done> Run::release_senders() {
  bool any = false;
  for (const TenantSpec& t : setup_.spec.tenants) {
    to_transmit_.push_back(0);
    if (t.send.empty()) continue;
    any = true;
    if (t.send.starts_with("gen:")) continue;
    if (auto size = check_whole_capture(setup_.spec.resolve(t.send))) to_transmit_.back() = size->frames;
  }
  if (!any) return Done{};
  std::ofstream file(setup_.paths.send_start());
  if (!file) return os_error("create " + setup_.paths.send_start().string());
  return Done{};
}

// --- Watch ----------------------------------------------------------------------------------------------------------

std::uint64_t value(const Counters& counters, const std::string& name) {
  const auto found = counters.find(name);
  return found == counters.end() ? 0 : found->second;
}

void Run::look_at_party(View& view, const std::string& name, unsigned vf, bool agent) const {
  const auto snapshot = hw::read_counters(setup_.paths.counters(name));
  if (!snapshot) return;
  const std::uint64_t taken = value(snapshot->values, "engine.taken");
  view.taken.emplace_back(name, taken);
  view.movement += taken + (agent ? value(snapshot->values, "store.read") : 0);
  view.all_taken = view.all_taken && taken >= value(view.softnic, fmt::format("vf{}.written", vf));
}

Run::View Run::look() const {
  View view;
  if (auto snapshot = hw::read_counters(setup_.paths.counters("softnic"))) view.softnic = std::move(snapshot->values);
  view.wire_done = value(view.softnic, "wire.done") != 0;
  view.transmitted = value(view.softnic, "tx.sent");
  view.movement = value(view.softnic, "wire.sent") + view.transmitted;
  for (std::size_t i = 0; i < setup_.spec.agents.size(); ++i) {
    const AgentSpec& a = setup_.spec.agents[i];
    if (alive(Role::agent, i)) look_at_party(view, a.name, a.vf, true);
  }
  for (std::size_t i = 0; i < setup_.spec.tenants.size(); ++i) {
    const TenantSpec& t = setup_.spec.tenants[i];
    if (alive(Role::tenant, i)) look_at_party(view, t.name, t.vf, false);
  }
  return view;
}

// Tenants that send a file have sent all of it, and nobody has sent anything for a while.
bool Run::all_transmitted(const View& view, Clock::time_point quiet_since) const {
  bool anybody = false;
  for (std::size_t i = 0; i < setup_.spec.tenants.size(); ++i) {
    const TenantSpec& t = setup_.spec.tenants[i];
    if (!alive(Role::tenant, i) || (t.send.empty() && t.reply == Reply::none)) continue;
    anybody = true;
    if (value(view.softnic, fmt::format("vf{}.tx_sent", t.vf)) < to_transmit_[i]) return false;
  }
  return !anybody || Clock::now() - quiet_since > kTransmitQuiet;
}

void Run::show(const View& view) {
  if (!hooks_.progress || Clock::now() - last_shown_ < kProgressStep) return;
  last_shown_ = Clock::now();
  hooks_.progress({seconds_since(born_), setup_.frames_to_send, value(view.softnic, "wire.sent"), view.taken});
}

void Run::notice_ends() {
  for (Member& m : members_) {
    if (m.reported || !m.child.ending()) continue;
    m.reported = true;
    // Nothing works without the device: who ends after it died of nothing else.
    if (m.role != Role::softnic && softnic_gone_ && m.child.ending()->signal == 0) continue;
    softnic_gone_ = softnic_gone_ || m.role == Role::softnic;
    died_.push_back({m.child.name(), m.child.ending()->text(), seconds_since(born_)});
    const std::string words = m.child.ending()->signal == 0 ? last_lines(m.log, 1) : "";
    problem(fmt::format("{} {} during the run, after {:.1f} s{}{}", m.child.name(), m.child.ending()->text(),
                        died_.back().after_s, words.empty() ? "" : ": ", words));
  }
}

void Run::watch() {
  const auto started = Clock::now();
  const TrafficSpec& traffic = setup_.spec.traffic;
  const auto rate = parse_rate(traffic.gen && !traffic.gen->rate.empty() ? traffic.gen->rate : traffic.rate);
  const auto silence =
      kStuck + longest_silence(rate.value_or(LabRate{}), setup_.traffic ? setup_.traffic->longest_gap_ns : 0);
  std::uint64_t movement = 0, transmitted = 0;
  auto moved = started, sent = started;
  for (;;) {
    notice_ends();
    const View view = look();
    show(view);
    const auto now = Clock::now();
    if (view.movement != movement) moved = now;
    if (view.transmitted != transmitted) sent = now;
    movement = view.movement, transmitted = view.transmitted;
    if (interrupted()) problem("interrupted: the ledger is of the part that ran");
    if (interrupted() || softnic_gone_) break;
    if (view.wire_done && view.all_taken && all_transmitted(view, sent)) break;
    if (now - moved > (view.wire_done ? kStuck : silence)) {
      problem(fmt::format("nothing moved for {:.0f} s although {}; gave up waiting", seconds_since(moved),
                          !view.wire_done  ? "the wire has frames left"
                          : view.all_taken ? "a tenant has frames to send"
                                           : "frames wait in a receive ring"));
      break;
    }
    std::this_thread::sleep_for(kWatchStep);
  }
  timings_.run_s = seconds_since(started);
}

// --- Stop -----------------------------------------------------------------------------------------------------------

void Run::problem(std::string text) {
  if (hooks_.notice) hooks_.notice(text);
  problems_.push_back(std::move(text));
}

void Run::stop_role(Role role) {
  const auto deadline = Clock::now() + kStopLimit;
  for (Member& m : members_) {
    if (m.role == role) m.child.signal(SIGTERM);
  }
  for (Member& m : members_) {
    if (m.role != role) continue;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    if (!m.child.wait_or_kill(std::max(left, milliseconds(0)))) {
      m.unresponsive = true;
      problem(fmt::format("{} did not stop within {} s and was killed", m.child.name(), kStopLimit.count() / 1000));
    } else if (!m.reported && !m.child.ending()->clean() && !softnic_gone_) {
      const std::string words = last_lines(m.log, 2);
      problem(fmt::format("{} {}{}{}", m.child.name(), m.child.ending()->text(), words.empty() ? "" : ": ", words));
    }
    m.reported = true;
  }
}

void Run::stop() {
  const auto started = Clock::now();
  for (const Role role : {Role::agent, Role::tenant, Role::pf, Role::softnic}) stop_role(role);
  timings_.stop_s = seconds_since(started);
}

// --- Result ---------------------------------------------------------------------------------------------------------

Member* Run::member(Role role, std::size_t index) {
  const auto found = std::find_if(members_.begin(), members_.end(),
                                  [&](const Member& m) { return m.role == role && m.index == index; });
  return found == members_.end() ? nullptr : &*found;
}

bool Run::alive(Role role, std::size_t index) const {
  return std::any_of(members_.begin(), members_.end(),
                     [&](const Member& m) { return m.role == role && m.index == index && !m.reported; });
}

Manifest Run::manifest() {
  const auto fate = [](Member* m) {
    if (!m) return Fate::stopped;  // never started: it holds no frame
    if (!m->child.ending()) return Fate::running;
    return m->child.ending()->signal != 0 ? Fate::died : Fate::stopped;
  };
  const auto pid = [](const Member* m) { return m ? m->child.pid() : 0; };
  Manifest out;
  out.pid = ::getpid();
  out.vfs = setup_.spec.vfs;
  out.prepared = setup_.frames_to_send;
  out.unmatched = setup_.unmatched;
  Member* softnic = member(Role::softnic, 0);
  out.softnic_pid = pid(softnic);
  out.softnic_fate = fate(softnic);
  Member* pf = member(Role::pf, 0);
  out.pf_pid = pid(pf);
  out.pf_fate = fate(pf);
  const auto add = [&](Role role, std::size_t i, const std::string& name, unsigned vf, std::string capture) {
    Member* m = member(role, i);
    out.parties.push_back({name, vf, role == Role::agent, pid(m), fate(m), std::move(capture)});
  };
  for (std::size_t i = 0; i < setup_.spec.tenants.size(); ++i) {
    const TenantSpec& t = setup_.spec.tenants[i];
    add(Role::tenant, i, t.name, t.vf, "");
  }
  for (std::size_t i = 0; i < setup_.spec.agents.size(); ++i) {
    const AgentSpec& a = setup_.spec.agents[i];
    add(Role::agent, i, a.name, a.vf, setup_.paths.capture(a).filename().string());
  }
  return out;
}

LabResult Run::result() {
  LabResult result;
  const Manifest last = manifest();
  if (auto written = write_manifest(setup_.paths.dir, last); !written) problem(written.error().text);
  result.input = read_ledger_input(setup_.paths.dir, last);
  result.ledger = make_ledger(result.input);
  if (auto snapshot = hw::read_counters(setup_.paths.counters("softnic"))) result.softnic = std::move(snapshot->values);
  for (const Party& party : result.input.parties) {
    const std::uint64_t refused = party.counters ? value(*party.counters, "store.disk_dropped") : 0;
    if (refused != 0) problem(fmt::format("{} could not write {} frames to its disk", party.name, refused));
  }
  if (!result.ledger.balanced) problem("the ledger does not balance");
  result.died = std::move(died_);
  result.problems = std::move(problems_);
  result.timings = timings_;
  result.exit_status = result.problems.empty() ? 0 : 1;
  return result;
}

}  // namespace

Result<LabResult> run_lab(const LabSetup& setup, const std::atomic<bool>& interrupted, const LabHooks& hooks) {
  Run run(setup, interrupted, hooks);
  if (auto started = run.start(); !started) {
    run.stop();
    return started.error();
  }
  run.watch();
  run.stop();
  return run.result();
}

}  // namespace vigia::orch
