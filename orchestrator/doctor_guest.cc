// SPDX-License-Identifier: Apache-2.0
// Inside the guest: its service, driver, link, ring, listeners, storage.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "hw/values.h"
#include "orchestrator/doctor_checks.h"

namespace vigia::orch {
namespace {

constexpr std::uint64_t kLowDisk = 128u << 20;  // two files of the default size

struct Capturing {
  const VmFacts* vm;
  const CaptureFacts* capture;
};
std::vector<Capturing> captures(const Facts& facts) {
  std::vector<Capturing> out;
  for (const VmFacts* vm : running_vms(facts)) {
    if (vm->capture) out.push_back({vm, &*vm->capture});
  }
  return out;
}

std::uint64_t account(const CaptureFacts& capture, const std::string& name) {
  const auto at = capture.accounts.find(name);
  return at == capture.accounts.end() ? 0 : at->second;
}

void guest_unreachable(const Facts& facts, Findings& out) {
  for (const VmFacts* vm : running_vms(facts)) {
    if (vm->guest != Answer::nobody) continue;
    out.add(vm->vm.name, "its channel is closed: the guest can be asked nothing, and nothing can be pulled from it",
            vm->guest_said,
            fmt::format("is its QEMU alive? `virsh domstate {}`; `vigia repair` clears what is left", vm->vm.name));
  }
}

void guest_silent(const Facts& facts, Findings& out) {
  for (const VmFacts* vm : running_vms(facts)) {
    if (vm->guest != Answer::silent) continue;
    out.add(
        vm->vm.name, "its service does not answer: whether it captures is not known", vm->guest_said,
        fmt::format("is it still booting, or is another `vigia pull` at work? else `vigia console {}`", vm->vm.name));
  }
}

void capture_ended(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    if (capture->state != "ended") continue;
    out.add(vm->vm.name, "its capture has ended; the VM runs for nothing", "state: ended", "take it down and up");
  }
}

bool no_device(const CaptureFacts& capture) { return capture.why.find("find a VF") != std::string::npos; }

void guest_no_device(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    if (capture->state != "waiting" || !no_device(*capture)) continue;
    out.add(vm->vm.name, "the guest has no VF that its capture could drive", capture->why,
            "is the VF bound to vfio-pci (with vIOMMU) or uio_pci_generic in the guest? its init does that: `vigia "
            "console` shows why not");
  }
}

void guest_port_down(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    if (capture->port_up || capture->state == "ended" || no_device(*capture)) continue;
    out.add(vm->vm.name, "its capture cannot start the VF and tries again and again",
            capture->why.empty() ? capture->port_problem : capture->why,
            "is vigia-pf up? it has to answer the VF's RESET");
  }
}

void guest_link_down(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    if (!capture->port_up || capture->link) continue;
    out.add(vm->vm.name, "its VF has no link: nothing comes from the network", "port.link: down in the guest's status",
            "check the port's cable and switch; on softnic: does vigia-softnic run?");
  }
}

void guest_no_queue(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    if (!capture->port_up || capture->queues > 0) continue;
    out.add(vm->vm.name, "its driver reads no queue", "port.queues: 0 in the guest's status", "take it down and up");
  }
}

void guest_mac_differs(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    if (!capture->port_up || vm->vm.metadata.mac.empty() || capture->mac == vm->vm.metadata.mac) continue;
    out.add(vm->vm.name, "its VF has another address than its file says: frames for it go elsewhere",
            fmt::format("{} in the guest, {} in the file", capture->mac, vm->vm.metadata.mac),
            "was the VF's entry changed while it ran? `vigia repair`, or take it down and up");
  }
}

void disk_full(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    if (capture->disk_dropped == 0) continue;
    out.add(vm->vm.name, "its disk took no more: what came since is only in the ring, and overwritten there",
            fmt::format("store.disk_dropped is {}; {}", capture->disk_dropped, capture->store_problem),
            "pull what the ring holds now; then free space or say capture.quota, and take it down and up");
  }
}

void storage_unusable(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    if (capture->store_problem.empty() || capture->disk_dropped > 0) continue;
    out.add(vm->vm.name, "nothing is stored, although its file asks for storage: only the ring is kept",
            capture->store_problem, "is the disk there, formatted and writable? `vigia console` shows its mount");
  }
}

void disk_low(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    if (!capture->disk_free || *capture->disk_free >= kLowDisk || capture->disk_dropped > 0) continue;
    out.add(vm->vm.name, "its disk is nearly full; then only the ring is kept",
            fmt::format("{} free at {}", hw::size_text(*capture->disk_free), capture->store_directory),
            "say capture.quota, so that the oldest files make room, or give it a larger disk");
  }
}

void ring_full(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    const std::uint64_t lost = account(*capture, "engine.ring_full");
    if (lost == 0) continue;
    out.add(vm->vm.name, "new frames are dropped because a lossless reader is a whole ring behind",
            fmt::format("engine.ring_full is {}", lost),
            "end that reader, give a larger capture.ring, or policy: overwritable");
  }
}

void store_lapped(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    const std::uint64_t lost = account(*capture, "store.lapped");
    if (lost == 0) continue;
    out.add(vm->vm.name, "its files have gaps: the disk is slower than the traffic",
            fmt::format("store.lapped is {}", lost), "a faster disk, capture.snaplen, or a larger capture.ring");
  }
}

void listener_lapped(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    for (const CaptureFacts::Listener& listener : capture->listeners) {
      if (listener.lapped == 0) continue;
      out.add(vm->vm.name, "a listener in the guest is too slow and misses frames",
              fmt::format("process {} has lost {} frames", listener.pid, listener.lapped),
              "make it read faster, or let it be lossless if the others may wait for it");
    }
  }
}

void no_reader(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    if (!capture->listeners.empty() || !capture->store_directory.empty() || !capture->store_problem.empty()) continue;
    out.add(vm->vm.name, "nobody reads the ring: only the newest frames can be pulled, older ones are overwritten",
            fmt::format("no storage, no listener, a ring of {}", hw::size_text(capture->ring_bytes)),
            "storage: {mode: virtio, ..} keeps them; `vigia pull --follow` takes them as they come");
  }
}

void ring_small_pages(const Facts& facts, Findings& out) {
  for (const auto& [vm, capture] : captures(facts)) {
    if (capture->ring_hugepages || capture->ring_bytes == 0) continue;
    out.add(vm->vm.name, "its ring is in normal pages: slower, and loss at high rates",
            "ring.hugepages: false in the guest's status",
            fmt::format("hugepages: {{guest: {}}} in its file", capture->ring_bytes / (2u << 20) + 1));
  }
}

// Tenants: interfaces besides lo.
void guest_no_interface(const Facts& facts, Findings& out) {
  for (const VmFacts* vm : running_vms(facts)) {
    if (!vm->interfaces || !vm->interfaces->empty() || vm->vm.metadata.pf.empty()) continue;
    out.add(vm->vm.name, "the tenant has no network interface: no driver has taken its VF",
            "/sys/class/net of the guest holds only lo", "is ixgbevf in the guest? `vigia exec` with `dmesg | tail`");
  }
}

void guest_interface_down(const Facts& facts, Findings& out) {
  for (const VmFacts* vm : running_vms(facts)) {
    if (!vm->interfaces || vm->interfaces->empty()) continue;
    const bool any = std::any_of(vm->interfaces->begin(), vm->interfaces->end(),
                                 [](const InterfaceFacts& i) { return i.state == "up" || i.state == "unknown"; });
    if (any) continue;
    const InterfaceFacts& first = vm->interfaces->front();
    out.add(vm->vm.name, "no interface of the tenant is up: it receives nothing, so nothing of it is mirrored",
            fmt::format("{} is {}", first.name, first.state),
            fmt::format("`vigia exec {} 'ip link set dev {} up'`", vm->vm.name, first.name));
  }
}

constexpr std::array kChecks{
    Check{"guest-unreachable", Severity::error, guest_unreachable},
    Check{"guest-silent", Severity::error, guest_silent},
    Check{"capture-ended", Severity::error, capture_ended},
    Check{"guest-no-device", Severity::error, guest_no_device},
    Check{"guest-port-down", Severity::error, guest_port_down},
    Check{"guest-link-down", Severity::error, guest_link_down},
    Check{"guest-no-queue", Severity::error, guest_no_queue},
    Check{"guest-no-interface", Severity::error, guest_no_interface},
    Check{"guest-interface-down", Severity::error, guest_interface_down},
    Check{"guest-mac-differs", Severity::error, guest_mac_differs},
    Check{"disk-full", Severity::error, disk_full},
    Check{"storage-unusable", Severity::error, storage_unusable},
    Check{"disk-low", Severity::warning, disk_low},
    Check{"ring-full", Severity::warning, ring_full},
    Check{"store-lapped", Severity::warning, store_lapped},
    Check{"listener-lapped", Severity::warning, listener_lapped},
    Check{"no-reader", Severity::note, no_reader},
    Check{"ring-small-pages", Severity::note, ring_small_pages},
};

}  // namespace

std::span<const Check> guest_checks() { return kChecks; }

}  // namespace vigia::orch
