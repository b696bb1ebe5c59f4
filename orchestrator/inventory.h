// SPDX-License-Identifier: Apache-2.0
// What the host has, as a plain struct: built from libvirt's XML texts, from sysfs, or by hand in a test. Nothing here
// talks to libvirt; who has a connection hands the texts in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hw/cpu_list.h"
#include "hw/result.h"

namespace vigia::orch {

struct PagePool {
  std::uint64_t total = 0, free = 0;
};

struct NumaNode {
  unsigned id = 0;
  std::uint64_t memory = 0;                // bytes
  std::map<std::uint64_t, PagePool> huge;  // by page size in bytes
};

struct Cpu {
  unsigned id = 0;  // the kernel's number
  unsigned node = 0;
  std::vector<unsigned> siblings;  // CPUs of the same physical core, this one included, ascending
  bool online = true;
  bool isolated = false;  // isolcpus= or nohz_full=: the scheduler puts nothing here by itself
};

struct VirtualFunction {
  unsigned index = 0;
  std::string pci;  // "0000:3b:10.0"
  std::string driver;
  std::optional<unsigned> iommu_group;
};

// A PCI function that is, or could be, a NIC of ours; disks on PCI are BlockDevices.
struct NetDevice {
  std::string pci;
  std::string netdev;  // empty: no kernel interface
  std::string driver;  // empty: none bound
  std::uint16_t vendor = 0, device = 0;
  std::optional<unsigned> node;  // none: the firmware does not say
  std::optional<unsigned> iommu_group;
  unsigned vfs_total = 0, vfs_enabled = 0;
  std::vector<VirtualFunction> vfs;  // by index
  std::string pf;                    // of a VF: its PF's PCI address
  std::uint64_t link_mbps = 0;       // 0: unknown or down
};

// A vigia-softnic: a folder with pf.sock, vf0.sock ..
struct SoftNic {
  std::string dir;
  std::vector<unsigned> vfs;  // indexes of the sockets there
};

struct BlockDevice {
  std::string name;  // "nvme0n1"
  std::string pci;   // of its controller; empty: none
  std::optional<unsigned> node;
  std::uint64_t size = 0;               // bytes
  std::optional<unsigned> iommu_group;  // of its controller
};

// What a vigia domain that runs occupies. Its hugepages are already missing from PagePool::free.
struct PlacedDomain {
  std::string name;
  std::string kind;  // "tenant", "vnp", "vnma"
  std::optional<unsigned> node;
  std::vector<unsigned> vcpu_cpus;      // host CPUs that its vCPUs are pinned to
  std::vector<unsigned> emulator_cpus;  // and its other threads
  std::uint64_t page_size = 0, pages = 0;
  std::string pf;              // PCI address or softnic folder; empty: none
  std::optional<unsigned> vf;  // on pf; none with a pf: the PF itself
};

struct Inventory {
  std::uint64_t memory = 0;            // bytes, of the machine
  std::uint64_t memory_available = 0;  // bytes, of normal pages
  bool kvm = false;                    // /dev/kvm is there and open to us; nothing opens it
  bool iommu = false;                  // the kernel made IOMMU groups
  std::vector<NumaNode> nodes;         // by id
  std::vector<Cpu> cpus;               // by id
  std::vector<NetDevice> nics;         // by PCI address
  std::vector<SoftNic> softnics;
  std::vector<BlockDevice> disks;

  const NumaNode* node(unsigned id) const;
  const Cpu* cpu(unsigned id) const;
  // By PCI address or netdev name.
  const NetDevice* nic(std::string_view name) const;
  const SoftNic* softnic(std::string_view dir) const;
};

// From the texts of virConnectGetCapabilities and virNodeDeviceGetXMLDesc. Texts that are no XML, or not of that kind,
// are work errors that name what is missing. Isolation, memory and KVM are not in them: see read_host_facts.
Result<Inventory> inventory_from_libvirt(std::string_view capabilities, std::span<const std::string> node_devices);

// From sysfs and procfs below root ("/" for the machine itself, a folder for tests). A file that is absent means that
// the host has no such thing; a host without any online CPU is an error.
Result<Inventory> inventory_from_sysfs(const std::filesystem::path& root);

// Adds what libvirt does not tell, from root: isolated CPUs, memory by /proc/meminfo, KVM, free hugepages as they are
// now, the IOMMU, block devices.
void read_host_facts(Inventory& inventory, const std::filesystem::path& root);

// The sockets in dir. An input error when there is none.
Result<SoftNic> read_softnic(const std::filesystem::path& dir);

// One JSON object with stable keys, and back: what `vigia inventory --json` prints is what `vigia plan --inventory`
// reads.
std::string inventory_json(const Inventory& inventory);
Result<Inventory> parse_inventory_json(std::string_view text, std::string_view file);

using hw::cpu_list_text;
using hw::parse_cpu_list;

}  // namespace vigia::orch
