// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/doctor_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>

#include "hw/counter_file.h"
#include "hw/pci_sysfs.h"
#include "orchestrator/guest_channel.h"
#include "orchestrator/guest_shell.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr std::string_view kInterfacesCommand =
    "for d in /sys/class/net/*; do echo ${d##*/} $(cat $d/address $d/flags $d/operstate); done";

bool timed_out(const Error& error) {
  return error.code == std::errc::timed_out || error.code == std::errc::resource_unavailable_try_again;
}

Answer answer_of(const Error& error) { return timed_out(error) ? Answer::silent : Answer::nobody; }

// work(), or nothing when it takes longer. Its thread is then left to itself: libvirt's calls have no time limit.
template <class T>
std::optional<T> within(milliseconds limit, std::function<T()> work) {
  auto promise = std::make_shared<std::promise<T>>();
  std::future<T> result = promise->get_future();
  std::thread([promise, work = std::move(work)] { promise->set_value(work()); }).detach();
  if (result.wait_for(limit) != std::future_status::ready) return std::nullopt;
  return result.get();
}

void ask_libvirt(const DoctorOptions& options, HostFacts& host, Catalog& catalog) {
  host.uri = options.uri;
  const auto read = within<Result<Catalog>>(options.limit, [uri = options.uri]() -> Result<Catalog> {
    auto connection = LibvirtHost::open(uri);
    return connection ? read_catalog(*connection) : connection.error();
  });
  if (!read) {
    host.libvirt = Answer::silent;
    host.libvirt_said = fmt::format("{}: no answer within {} ms", options.uri, options.limit.count());
  } else if (!*read) {
    host.libvirt = answer_of(read->error());
    host.libvirt_said = read->error().text;
  } else {
    catalog = **read;
    host.domain_remarks = catalog.remarks;
  }
}

// Of PFs that VMs use, that somebody asks about, or that a user-space driver holds.
void read_autoprobe(const DoctorOptions& options, const Catalog& catalog, HostFacts& host) {
  for (const NetDevice& nic : host.inventory->nics) {
    const bool asked = nic.pci == options.pf || (!nic.netdev.empty() && nic.netdev == options.pf);
    const bool used =
        asked || nic.driver == "vfio-pci" ||
        std::any_of(catalog.vms.begin(), catalog.vms.end(), [&](const Vm& vm) { return vm.metadata.pf == nic.pci; });
    if (!nic.pf.empty() || nic.vfs_total == 0 || !used) continue;
    const std::string text =
        hw::read_small_file(options.root / "sys/bus/pci/devices" / nic.pci / "sriov_drivers_autoprobe");
    if (!text.empty()) host.autoprobe[nic.pci] = text == "1";
  }
}

using Counters = std::map<std::string, std::uint64_t>;

fs::path counters_of(const DoctorOptions& options, const std::string& folder) {
  return folder == options.device && !options.counters.empty() ? options.counters
                                                               : fs::path(folder) / "softnic.counters";
}

void ask_manager(const DoctorOptions& options, PortFacts& port) {
  const PfLink link(port.control, options.limit);
  auto wishes = link.wishes();
  auto view = wishes ? link.show() : Result<pf::PortView>(wishes.error());
  if (view) {
    port.wishes = std::move(*wishes);
    port.view = std::move(*view);
    return;
  }
  port.manager = answer_of(view.error());
  port.manager_said = port.manager == Answer::silent
                          ? fmt::format("{}: no answer within {} ms", port.control, options.limit.count())
                          : view.error().text;
}

std::vector<PortFacts> find_ports(const DoctorOptions& options, const Catalog& catalog) {
  std::vector<PortFacts> out;
  const auto add = [&](const std::string& control, const std::string& pf) {
    if (control.empty()) return;
    const auto at = std::find_if(out.begin(), out.end(), [&](const PortFacts& p) { return p.control == control; });
    PortFacts& port = at == out.end() ? out.emplace_back() : *at;
    port.control = control;
    if (port.pf.empty()) port.pf = pf;
  };
  for (const Vm& vm : catalog.vms) add(vm.metadata.control, vm.metadata.pf);
  if (!options.device.empty()) add((fs::path(options.device) / "pf.control").string(), options.device);
  if (const std::string control = fmt::format("/run/vigia/{}.control", options.pf);
      !options.pf.empty() && fs::exists(control)) {
    add(control, options.pf);
  }
  for (const std::string& control : options.controls) add(control, fs::path(control).parent_path().string());
  return out;
}

void read_port(const DoctorOptions& options, PortFacts& port, std::vector<Unknown>& unknown) {
  ask_manager(options, port);
  // A control socket need not lie beside a softnic's sockets; a VM or --device says that there is one.
  const bool real = port.pf.find(':') != std::string::npos && !port.pf.starts_with('/');
  SoftNicFacts softnic = look_at_softnic(port.pf, options.root);
  const bool named = port.pf == options.device || !softnic.sockets.empty();
  if (!real && named) port.softnic = std::move(softnic);
  const auto counters = hw::read_counters(counters_of(options, port.pf));
  if (counters) {
    port.counters = counters->values;
  } else {
    unknown.push_back({port.pf, "what the NIC counts",
                       real ? "counters of real NICs are not read yet"
                            : counters.error().text + "; start vigia-softnic with --counters there"});
  }
}

void read_growth(const DoctorOptions& options, PortFacts& port) {
  if (!port.counters) return;
  const auto now = hw::read_counters(counters_of(options, port.pf));
  if (!now) return;
  for (const auto& [name, value] : now->values) {
    const auto before = port.counters->find(name);
    if (before != port.counters->end() && value > before->second) port.growth[name] = value - before->second;
  }
  port.counters = now->values;
}

void ask_capture(VmFacts& vm, milliseconds limit) {
  auto channel = GuestChannel::connect(vm.vm.metadata.channel, limit);
  const auto status = channel ? channel->status(limit) : Result<std::string>(channel.error());
  auto facts = status ? parse_capture_status(*status) : Result<CaptureFacts>(status.error());
  vm.guest = facts ? Answer::yes : answer_of(facts.error());
  if (facts) vm.capture = std::move(*facts);
  if (!facts) vm.guest_said = facts.error().text;
}

void ask_tenant(VmFacts& vm, milliseconds limit) {
  const auto answer = run_in_guest(vm.vm.metadata.channel, kInterfacesCommand, limit, [] { return false; });
  vm.guest = answer ? Answer::yes : answer_of(answer.error());
  if (answer) vm.interfaces = parse_interfaces(answer->output);
  if (!answer) vm.guest_said = answer.error().text;
}

VmFacts look_at_vm(const Vm& vm, milliseconds limit) {
  VmFacts out;
  out.vm = vm;
  if (vm.state != VmState::running || vm.metadata.channel.empty()) return out;
  vm.metadata.kind == word(VmKind::tenant) ? ask_tenant(out, limit) : ask_capture(out, limit);
  return out;
}

std::vector<Damage> damages_of(const DoctorOptions& options, const Catalog& catalog,
                               const std::vector<PortFacts>& ports) {
  HostState state;
  state.catalog = catalog;
  for (const PortFacts& port : ports) {
    if (port.manager == Answer::yes) {
      state.ports.emplace(port.control, port.wishes);
    } else {
      state.dead_ports.emplace(port.control, port.manager_said);
    }
  }
  look_around(state, options.dirs);
  return find_damage(state);
}

}  // namespace

SoftNicFacts look_at_softnic(const fs::path& dir, const fs::path& root) {
  SoftNicFacts out;
  out.dir = dir.string();
  if (const auto nic = read_softnic(dir)) out.sockets = nic->vfs;
  // "Num RefCount Protocol Flags Type St Inode Path"; the kernel prints __SO_ACCEPTCON as flags 00010000.
  std::ifstream list(root / "proc/net/unix");
  if (!list) return out;
  out.served.emplace();
  for (std::string line; std::getline(list, line);) {
    std::istringstream words(line);
    std::string number, references, protocol, flags, type, state, inode, path;
    if (!(words >> number >> references >> protocol >> flags >> type >> state >> inode >> path)) continue;
    if (flags != "00010000") continue;
    const fs::path socket(path);
    for (const unsigned vf : out.sockets) {
      // A path relative to a folder that we do not know gets the benefit of the doubt.
      const std::string name = fmt::format("vf{}.sock", vf);
      if (socket.filename() == name && (socket.is_relative() || socket.parent_path() == dir)) out.served->insert(vf);
    }
  }
  return out;
}

std::vector<InterfaceFacts> parse_interfaces(std::string_view text) {
  constexpr unsigned long kPromiscuous = 0x100;  // IFF_PROMISC
  std::vector<InterfaceFacts> out;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    InterfaceFacts facts;
    std::string flags;
    if (!(words >> facts.name >> facts.mac >> flags >> facts.state) || facts.name == "lo") continue;
    facts.promiscuous = (std::strtoul(flags.c_str(), nullptr, 16) & kPromiscuous) != 0;
    out.push_back(std::move(facts));
  }
  return out;
}

Facts gather_facts(const DoctorOptions& options) {
  Facts out;
  Catalog catalog;
  ask_libvirt(options, out.host, catalog);
  auto inventory = inventory_from_sysfs(options.root);
  if (inventory) {
    out.host.inventory = std::move(*inventory);
    read_autoprobe(options, catalog, out.host);
    out.host.nics = look_at_nics(*out.host.inventory, options.pf, options.root);
    out.host.kernel = look_at_kernel(options.root);
    for (const auto& [pci, nic] : out.host.nics) {
      if (nic.registers_unknown.empty()) continue;
      out.unknown.push_back({pci, "whether its registers can be reached beside its driver", nic.registers_unknown});
    }
  } else {
    out.unknown.push_back({"host", "what the host has", inventory.error().text});
  }
  out.ports = find_ports(options, catalog);
  const auto first_look = std::chrono::steady_clock::now();
  for (PortFacts& port : out.ports) read_port(options, port, out.unknown);

  std::vector<std::future<VmFacts>> guests;
  for (const Vm& vm : catalog.vms) guests.push_back(std::async(std::launch::async, look_at_vm, vm, options.limit));
  for (auto& guest : guests) out.vms.push_back(guest.get());

  std::this_thread::sleep_until(first_look + options.growth);
  for (PortFacts& port : out.ports) read_growth(options, port);
  out.damages = damages_of(options, catalog, out.ports);
  return out;
}

}  // namespace vigia::orch
