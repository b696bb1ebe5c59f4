// SPDX-License-Identifier: Apache-2.0
// A VM's YAML file: what a probe, an agent or a tenant is to be. Parsing and validation are pure: they read the text
// and nothing of the host; whether the host can give what is asked is placement.h's business.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/mac.h"
#include "hw/result.h"
#include "orchestrator/tap_spec.h"
#include "pfdriver/config.h"

namespace vigia::orch {

// tenant: a guest whose traffic is looked at. vnp: a probe that watches the port. vnma: an agent that is shown what a
// tap names.
enum class VmKind { tenant, vnp, vnma };
// Where the vCPUs go relative to the NIC, in the words of Nova's PCI NUMA affinity policies. required: the NIC's node,
// one core each, else refused. preferred: as near as there is room. legacy: the NIC's node if the NIC tells it.
enum class Affinity { required, preferred, legacy };
enum class NetworkMode { vf, pf, virtio, softnic };
enum class StorageMode { virtio, passthrough, none };
// automatic: KVM where it is usable.
enum class Acceleration { automatic, tcg };
enum class PageSize { none, m2, g1 };
// What becomes of frames when storage is a whole ring behind: lossless drops new ones for everybody, overwritable lets
// the store alone lose some.
enum class StorePolicy { lossless, overwritable };

std::string_view word(VmKind kind);
// The command of `vigia` that brings such VMs up and down: "tenant", "probe", "agent"; of the word, as metadata has it.
std::string_view command_of(std::string_view kind);
std::string_view word(Affinity affinity);
std::string_view word(NetworkMode mode);
std::string_view word(StorageMode mode);
// "2M", "1G", "none".
std::string_view word(PageSize size);
std::string_view word(StorePolicy policy);
// 2 MiB, 1 GiB; 0 for none.
std::uint64_t bytes(PageSize size);

struct HugepageSpec {
  PageSize size = PageSize::m2;  // behind the guest's memory, on the host
  unsigned guest = 0;            // 2 MiB pages that the guest reserves inside
};

struct NetworkSpec {
  NetworkMode mode = NetworkMode::vf;
  std::string pf;              // PCI address or netdev of the PF; softnic: the folder of its sockets
  std::string control;         // socket of the PF's vigia-pf; control_socket() gives the default
  std::optional<unsigned> vf;  // none: any free one
  std::optional<std::uint16_t> vlan;
  std::optional<hw::Mac> mac;  // after parsing always there, made from the name if the file has none
  bool trust = false;
  std::string bridge;  // virtio only
};

struct StorageSpec {
  StorageMode mode = StorageMode::none;
  std::string path;        // virtio: image file or block device; passthrough: PCI address of a controller
  std::uint64_t size = 0;  // bytes; 0: what path has already
};

struct CaptureSpec {
  std::uint64_t ring = 64u << 20;  // bytes
  unsigned snaplen = 0;            // bytes kept of a frame; 0: all
  StorePolicy policy = StorePolicy::overwritable;
  std::uint64_t max_file = 64u << 20;
  std::uint64_t quota = 0;              // bytes of storage; 0: what the disk holds
  std::chrono::milliseconds rotate{0};  // a stored file ends when it is that old; 0: only when it is full
  std::string dedup = "off";            // as hw::parse_duplicate_options() takes it
};

// What a tenant's init sets up.
struct GuestSpec {
  std::string address;  // "10.0.0.11/24"; empty: none
  std::string gateway;
  std::optional<std::uint16_t> vlan;  // a subinterface inside the guest
  unsigned mtu = 1500;
  std::string script;  // shell text, run once the network is up
};

struct VmSpec {
  std::filesystem::path file;  // where it was read from, for messages
  std::string text;            // the whole YAML text, lines ended by \n: kept in the domain's metadata

  std::string name;
  VmKind kind = VmKind::vnp;
  std::string image;  // name of an image, or path of its folder or of a disk image
  unsigned vcpus = 2;
  std::uint64_t memory = 1u << 30;  // bytes
  HugepageSpec hugepages;
  std::optional<unsigned> numa;  // none: auto
  Affinity affinity = Affinity::preferred;
  Acceleration acceleration = Acceleration::automatic;
  NetworkSpec network;
  StorageSpec storage;
  CaptureSpec capture;
  std::optional<TapSpec> tap;
  std::optional<GuestSpec> guest;
  std::string uri = "qemu:///system";
  std::optional<std::chrono::seconds> lifetime;  // key "for"; none: until it is taken down

  bool has_vf() const { return network.mode == NetworkMode::vf || network.mode == NetworkMode::softnic; }
  bool captures() const { return kind != VmKind::tenant; }
  // The unix socket of the vigia-pf that manages the VM's port; empty when the VM has no VF.
  std::string control_socket() const;
};

// Reads and checks; an input error lists every fault as "file:line: key: what, what to do".
Result<VmSpec> load_vm(const std::filesystem::path& file);
Result<VmSpec> parse_vm(std::string_view text, const std::filesystem::path& file);

// Every rule between keys that the spec breaks; pure. Ranges of single keys are the parser's business.
std::vector<pf::Violation> validate(const VmSpec& spec);

// The text of `vigia explain spec`, from the tables that parse.
std::string explain_spec();

// The JSON object that the guest reads from fw_cfg entry opt/org.vigia/config, without newlines.
std::string guest_config(const VmSpec& spec);

}  // namespace vigia::orch
