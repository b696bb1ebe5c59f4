// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/domain_xml.h"

#include <fmt/format.h>

#include <pugixml.hpp>
#include <sstream>

#include "orchestrator/domain_metadata.h"

namespace vigia::orch {
namespace {

using pugi::xml_node;

// Buses of the guest: its function of the NIC sits alone behind root port 1 (0000:01:00.0 in the guest, where the probe
// looks for it); 2 and up belong to the disks and channels that libvirt places.
constexpr unsigned kNicPort = 1;
// Large enough for every device of ours and one spare for hot-plug.
constexpr unsigned kRootPorts = 8;

xml_node add(xml_node parent, const char* name) { return parent.append_child(name); }
xml_node add(xml_node parent, const char* name, const std::string& text) {
  xml_node node = parent.append_child(name);
  node.text().set(text.c_str());
  return node;
}
void set(xml_node node, const char* name, std::string_view value) {
  node.append_attribute(name).set_value(std::string(value).c_str());
}
void set(xml_node node, const char* name, std::uint64_t value) {
  node.append_attribute(name).set_value(static_cast<unsigned long long>(value));
}

bool has_viommu(const VmSpec& spec) { return spec.captures() && spec.network.mode != NetworkMode::virtio; }

void add_memory(xml_node domain, const VmSpec& spec, const Placement& placement) {
  xml_node memory = add(domain, "memory", std::to_string(spec.memory >> 10));
  set(memory, "unit", "KiB");
  xml_node backing = add(domain, "memoryBacking");
  if (placement.page_size != 0) {
    xml_node page = add(add(backing, "hugepages"), "page");
    set(page, "size", placement.page_size >> 10);
    set(page, "unit", "KiB");
  }
  // Shared, so that a device server can map the guest's memory; a memfd needs no folder of its own.
  set(add(backing, "source"), "type", "memfd");
  set(add(backing, "access"), "mode", "shared");
}

void add_pinning(xml_node domain, const VmSpec& spec, const Placement& placement) {
  xml_node vcpus = add(domain, "vcpu", std::to_string(spec.vcpus));
  set(vcpus, "placement", "static");
  if (!placement.iothread_cpus.empty()) add(domain, "iothreads", "1");
  xml_node tune = add(domain, "cputune");
  for (std::size_t i = 0; i < placement.vcpu_cpus.size(); ++i) {
    xml_node pin = add(tune, "vcpupin");
    set(pin, "vcpu", i);
    set(pin, "cpuset", placement.vcpu_cpus[i]);
  }
  set(add(tune, "emulatorpin"), "cpuset", cpu_list_text(placement.emulator_cpus));
  if (!placement.iothread_cpus.empty()) {
    xml_node pin = add(tune, "iothreadpin");
    set(pin, "iothread", 1);
    set(pin, "cpuset", cpu_list_text(placement.iothread_cpus));
  }
  xml_node numa = add(add(domain, "numatune"), "memory");
  set(numa, "mode", "strict");
  set(numa, "nodeset", placement.node);
}

void add_boot(xml_node domain, const VmSpec& spec, const DomainFiles& files) {
  xml_node os = add(domain, "os");
  xml_node type = add(os, "type", "hvm");
  set(type, "arch", "x86_64");
  set(type, "machine", "q35");
  if (files.kernel.empty()) return;
  add(os, "kernel", files.kernel.string());
  if (!files.initrd.empty()) add(os, "initrd", files.initrd.string());
  std::string cmdline = files.cmdline.empty() ? "console=ttyS0 panic=-1" : files.cmdline;
  // A translating vIOMMU also for the VF: with iommu=pt the driver in the guest would see all of its RAM.
  if (has_viommu(spec) && cmdline.find("intel_iommu=") == std::string::npos) cmdline += " intel_iommu=on";
  add(os, "cmdline", cmdline);
}

void add_cpu(xml_node domain, const VmSpec& spec, const Placement& placement) {
  xml_node features = add(domain, "features");
  add(features, "acpi");
  add(features, "apic");
  // Interrupt remapping needs the I/O APIC in QEMU (libvirt: split irqchip).
  if (has_viommu(spec)) set(add(features, "ioapic"), "driver", "qemu");
  xml_node cpu = add(domain, "cpu");
  set(cpu, "mode", placement.accelerator == Accelerator::kvm ? "host-passthrough" : "maximum");
  xml_node topology = add(cpu, "topology");
  set(topology, "sockets", 1);
  set(topology, "cores", spec.vcpus);
  set(topology, "threads", 1);
  xml_node cell = add(add(cpu, "numa"), "cell");
  set(cell, "id", 0);
  set(cell, "cpus", spec.vcpus == 1 ? "0" : fmt::format("0-{}", spec.vcpus - 1));
  set(cell, "memory", spec.memory >> 10);
  set(cell, "unit", "KiB");
  set(cell, "memAccess", "shared");
}

void add_life_cycle(xml_node domain) {
  add(domain, "on_poweroff", "destroy");
  add(domain, "on_reboot", "restart");
  add(domain, "on_crash", "destroy");
}

// An address on the bus of root port 1.
void put_behind_nic_port(xml_node device) {
  xml_node address = add(device, "address");
  set(address, "type", "pci");
  set(address, "domain", "0x0000");
  set(address, "bus", fmt::format("0x{:02x}", kNicPort));
  set(address, "slot", "0x00");
  set(address, "function", "0x0");
}

void add_controllers(xml_node devices) {
  xml_node usb = add(devices, "controller");
  set(usb, "type", "usb");
  set(usb, "model", "none");
  xml_node root = add(devices, "controller");
  set(root, "type", "pci");
  set(root, "index", 0);
  set(root, "model", "pcie-root");
  for (unsigned i = 1; i <= kRootPorts; ++i) {
    xml_node port = add(devices, "controller");
    set(port, "type", "pci");
    set(port, "index", i);
    set(port, "model", "pcie-root-port");
  }
  xml_node serial = add(devices, "controller");
  set(serial, "type", "virtio-serial");
  set(serial, "index", 0);
}

// "0000:3b:10.0"
void set_pci_source(xml_node hostdev, const std::string& pci) {
  xml_node address = add(add(hostdev, "source"), "address");
  set(address, "domain", "0x" + pci.substr(0, 4));
  set(address, "bus", "0x" + pci.substr(5, 2));
  set(address, "slot", "0x" + pci.substr(8, 2));
  set(address, "function", "0x" + pci.substr(11));
}

xml_node add_hostdev(xml_node devices, const std::string& pci) {
  xml_node hostdev = add(devices, "hostdev");
  set(hostdev, "mode", "subsystem");
  set(hostdev, "type", "pci");
  set(hostdev, "managed", "yes");
  set(add(hostdev, "driver"), "name", "vfio");
  set_pci_source(hostdev, pci);
  return hostdev;
}

void add_network(xml_node devices, const VmSpec& spec, const Placement& placement) {
  if (spec.network.mode == NetworkMode::virtio) {
    xml_node card = add(devices, "interface");
    set(card, "type", "bridge");
    if (spec.network.mac) set(add(card, "mac"), "address", spec.network.mac->text());
    set(add(card, "source"), "bridge", spec.network.bridge);
    set(add(card, "model"), "type", "virtio");
    put_behind_nic_port(card);
  } else if (!placement.pci.empty()) {
    // MAC and VLAN are the PF manager's business (vigia-pf), hence a plain hostdev.
    put_behind_nic_port(add_hostdev(devices, placement.pci));
  }
}

// A disk of a guest. What the host's storage refuses, the guest is told: it must not stand still in silence.
xml_node add_disk(xml_node devices, const std::string& file, bool block, char letter, const Placement& placement) {
  xml_node disk = add(devices, "disk");
  set(disk, "type", block ? "block" : "file");
  set(disk, "device", "disk");
  xml_node driver = add(disk, "driver");
  set(driver, "name", "qemu");
  set(driver, "error_policy", "report");
  if (!placement.iothread_cpus.empty()) set(driver, "iothread", 1);
  set(add(disk, "source"), block ? "dev" : "file", file);
  xml_node target = add(disk, "target");
  set(target, "dev", fmt::format("vd{}", letter));
  set(target, "bus", "virtio");
  return driver;
}

void add_storage(xml_node devices, const VmSpec& spec, const Placement& placement, const DomainFiles& files) {
  char letter = 'a';
  if (!files.disk.empty()) {
    // Nobody needs it after the VM, and it may lie in memory, where cache=none is not to be had.
    xml_node driver = add_disk(devices, files.overlay(spec.name).string(), false, letter++, placement);
    set(driver, "type", "qcow2");
    set(driver, "cache", "unsafe");
  }
  if (spec.storage.mode == StorageMode::virtio) {
    const bool block = spec.storage.path.starts_with("/dev/");
    xml_node driver = add_disk(devices, spec.storage.path, block, letter, placement);
    set(driver, "type", "raw");
    set(driver, "cache", "none");
    set(driver, "io", files.io_uring ? "io_uring" : "native");
  }
  if (spec.storage.mode == StorageMode::passthrough) add_hostdev(devices, spec.storage.path);
}

void add_console(xml_node devices, const VmSpec& spec, const DomainFiles& files) {
  xml_node serial = add(devices, "serial");
  set(serial, "type", "pty");
  xml_node log = add(serial, "log");
  set(log, "file", files.console_log(spec.name).string());
  set(log, "append", "off");
  set(add(serial, "target"), "port", 0);
  xml_node console = add(devices, "console");
  set(console, "type", "pty");
  xml_node target = add(console, "target");
  set(target, "type", "serial");
  set(target, "port", 0);
}

void add_channel(xml_node devices, const std::string& socket, const char* name) {
  xml_node channel = add(devices, "channel");
  set(channel, "type", "unix");
  xml_node source = add(channel, "source");
  set(source, "mode", "bind");
  set(source, "path", socket);
  xml_node target = add(channel, "target");
  set(target, "type", "virtio");
  set(target, "name", name);
}

void add_devices(xml_node domain, const VmSpec& spec, const Placement& placement, const DomainFiles& files) {
  xml_node devices = add(domain, "devices");
  add(devices, "emulator", files.emulator.string());
  add_controllers(devices);
  add_storage(devices, spec, placement, files);
  add_network(devices, spec, placement);
  add_console(devices, spec, files);
  if (spec.captures()) {
    add_channel(devices, files.channel(spec.name).string(), "org.vigia.0");
  } else {
    add_channel(devices, files.shell(spec.name).string(), "org.vigia.shell.0");
  }
  set(add(devices, "memballoon"), "model", "none");
  if (has_viommu(spec)) {
    xml_node iommu = add(devices, "iommu");
    set(iommu, "model", "intel");
    xml_node driver = add(iommu, "driver");
    set(driver, "intremap", "on");
    set(driver, "caching_mode", "on");
  }
}

// QEMU's option syntax ends a value at a comma, unless it is doubled.
std::string doubled_commas(std::string_view text) {
  std::string out;
  for (const char c : text) out.append(c == ',' ? 2 : 1, c);
  return out;
}

// What libvirt has no element for: vfio-user, and inline fw_cfg values, which libvirt (seen with 9.0) hands on with
// XML's escapes in them.
void add_qemu_arguments(xml_node domain, const VmSpec& spec, const Placement& placement) {
  xml_node line = add(domain, "qemu:commandline");
  const auto argument = [&](const std::string& text) { set(add(line, "qemu:arg"), "value", text); };
  argument("-fw_cfg");
  argument("name=opt/org.vigia/config,string=" + doubled_commas(guest_config(spec)));
  if (spec.network.mode != NetworkMode::softnic || !placement.vf) return;
  // A port that libvirt does not know of, so that it places nothing else there.
  argument("-device");
  argument(R"({"driver":"pcie-root-port","id":"nicport","bus":"pcie.0","addr":"0x10","chassis":64,"slot":64})");
  argument("-device");
  argument(fmt::format(R"({{"driver":"vfio-user-pci","id":"vf0","bus":"nicport","addr":"0x0",)"
                       R"("socket":{{"type":"unix","path":{}}}}})",
                       json_string(fmt::format("{}/vf{}.sock", placement.pf, *placement.vf))));
}

}  // namespace

std::string domain_xml(const VmSpec& spec, const Placement& placement, const DomainFiles& files,
                       const VmMetadata& metadata) {
  pugi::xml_document document;
  xml_node domain = add(document.root(), "domain");
  set(domain, "type", placement.accelerator == Accelerator::kvm ? "kvm" : "qemu");
  set(domain, "xmlns:qemu", "http://libvirt.org/schemas/domain/qemu/1.0");
  add(domain, "name", spec.name);
  append_metadata(add(domain, "metadata"), metadata);
  add_memory(domain, spec, placement);
  add_pinning(domain, spec, placement);
  add_boot(domain, spec, files);
  add_cpu(domain, spec, placement);
  add_life_cycle(domain);
  add_devices(domain, spec, placement, files);
  add_qemu_arguments(domain, spec, placement);
  std::ostringstream out;
  document.save(out, "  ", pugi::format_indent | pugi::format_no_declaration);
  return out.str();
}

VmMetadata metadata_of(const VmSpec& spec, const Placement& placement, const DomainFiles& files) {
  VmMetadata out;
  out.spec_text = spec.text;
  out.spec_file = spec.file.string();
  out.kind = word(spec.kind);
  if (spec.captures() && placement.vf) out.tap = spec.name;
  out.control = spec.control_socket();
  out.pf = placement.pf;
  out.vf = placement.vf;
  if (spec.network.mac) out.mac = spec.network.mac->text();
  out.channel = (spec.captures() ? files.channel(spec.name) : files.shell(spec.name)).string();
  return out;
}

}  // namespace vigia::orch
