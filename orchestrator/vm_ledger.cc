// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/vm_ledger.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "hw/counter_file.h"
#include "orchestrator/guest_channel.h"
#include "orchestrator/guest_shell.h"
#include "orchestrator/inventory.h"
#include "orchestrator/vm_catalog.h"
#include "orchestrator/vm_spec.h"

namespace vigia::orch {
namespace {

using namespace std::chrono_literals;

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// What its capture has booked, and whether it has a store.
void ask_capture(const Vm& vm, Party& party) {
  auto channel = GuestChannel::connect(vm.metadata.channel, 3s);
  if (!channel) return;
  const auto status = channel->status();
  const auto parsed = status ? nlohmann::json::parse(*status, nullptr, false) : nlohmann::json();
  const auto accounts = parsed.value("/capture/accounts"_json_pointer, nlohmann::json());
  if (!accounts.is_object()) return;
  Counters counters;
  for (const auto& [name, value] : accounts.items()) {
    if (value.is_number_unsigned()) counters[name] = value.get<std::uint64_t>();
  }
  party.counters = std::move(counters);
  const auto file = parsed.value("/capture/file"_json_pointer, nlohmann::json());
  party.stores = file.is_string() && !file.get_ref<const std::string&>().empty();
}

// Of the interface that is no loopback; what the kernel itself dropped was taken too.
void ask_kernel(const Vm& vm, Party& party) {
  const auto answer = run_in_guest(vm.metadata.channel,
                                   "for i in /sys/class/net/*/device; do cat ${i%/device}/statistics/rx_packets; done",
                                   3s, [] { return false; });
  if (!answer || answer->exit_status != 0) return;
  // The VF may be the second device with a driver: sum them, a lab's tenant has one.
  std::uint64_t taken = 0;
  std::string_view rest = answer->output;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    taken += number(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  party.counters = Counters{{"engine.taken", taken}, {"engine.left_in_ring", 0}};
}

Party party_of(const Vm& vm) {
  Party party;
  party.name = vm.name;
  party.vf = *vm.metadata.vf;
  party.agent = vm.metadata.kind != word(VmKind::tenant);
  party.fate = vm.state == VmState::running ? Fate::running : Fate::died;
  for (const std::string& frames : undo_values(vm.metadata, kUndoWritten)) party.written_before = number(frames);
  if (vm.state != VmState::running) return party;
  if (party.agent) {
    ask_capture(vm, party);
  } else {
    ask_kernel(vm, party);
  }
  return party;
}

}  // namespace

Result<LedgerInput> read_vm_ledger(LibvirtHost& host, const std::filesystem::path& nic) {
  const auto sockets = read_softnic(nic);
  if (!sockets) return sockets.error();
  const auto catalog = read_catalog(host);
  if (!catalog) return catalog.error();
  LedgerInput input;
  input.vfs = static_cast<unsigned>(sockets->vfs.size());
  input.softnic_fate = Fate::running;
  for (const Vm& vm : catalog->vms) {
    if (vm.metadata.pf == nic.string() && vm.metadata.vf) input.parties.push_back(party_of(vm));
  }
  // Last: frames that arrive meanwhile are then on the NIC's side, as frames on their way.
  auto counters = hw::read_counters(nic / "softnic.counters");
  if (!counters) return counters.error();
  input.softnic = std::move(counters->values);
  return input;
}

std::string written_line(const std::filesystem::path& nic, unsigned vf) {
  const auto counters = hw::read_counters(nic / "softnic.counters");
  if (!counters) return {};
  const auto written = counters->values.find(fmt::format("vf{}.written", vf));
  return written == counters->values.end() ? std::string() : fmt::format("{}{}", kUndoWritten, written->second);
}

}  // namespace vigia::orch
