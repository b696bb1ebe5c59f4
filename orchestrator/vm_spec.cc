// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/vm_spec.h"

#include <fmt/format.h>

#include <array>
#include <fstream>
#include <iterator>

#include "pfdriver/yaml_options.h"

namespace vigia::orch {
namespace {

namespace yaml = pf::yaml;
template <class T>
using Option = yaml::Option<T>;

constexpr std::uint64_t kMi = 1u << 20, kGi = 1u << 30, kTi = 1ull << 40;

constexpr std::array<std::string_view, 3> kKinds{"tenant", "vnp", "vnma"};
constexpr std::array<std::string_view, 3> kAffinities{"required", "preferred", "legacy"};
constexpr std::array<std::string_view, 4> kNetworkModes{"vf", "pf", "virtio", "softnic"};
constexpr std::array<std::string_view, 3> kStorageModes{"virtio", "passthrough", "none"};
constexpr std::array<std::string_view, 3> kPageSizes{"none", "2M", "1G"};
constexpr std::array<std::string_view, 2> kAccelerations{"auto", "tcg"};
constexpr std::array<std::string_view, 2> kPolicies{"lossless", "overwritable"};

constexpr std::array kVm{
    yaml::text<&VmSpec::name, VmSpec>("name", "required", "Letters, digits, '-' and '_'; the domain's name."),
    yaml::choice<&VmSpec::kind, VmSpec>(
        "kind", kKinds, "vnp",
        "A tenant, a probe that watches the port (vnp), or an agent that is shown what tap names (vnma)."),
    yaml::text<&VmSpec::image, VmSpec>(
        "image", "probe; of a tenant: tenant",
        "Name of an image, or the path of its folder or of a disk image; none is written to."),
    yaml::integer<&VmSpec::vcpus, VmSpec>("vcpus", 1, 64, "2; of a tenant: 1", "Each on a physical core of its own."),
    yaml::size<&VmSpec::memory, VmSpec>("memory", 128 * kMi, kTi, "1G; of a tenant: 256M", "RAM of the guest."),
    yaml::integer_or_auto<&VmSpec::numa, VmSpec>("numa", 0, 63, "auto", "Node of all vCPUs and of the memory."),
    yaml::choice<&VmSpec::affinity, VmSpec>("affinity", kAffinities, "preferred",
                                            "required: on the NIC's node with cores of its own, or not at all; "
                                            "preferred: as near as there is room; legacy: "
                                            "near if the host tells where the NIC is."),
    yaml::choice<&VmSpec::acceleration, VmSpec>("acceleration", kAccelerations, "auto",
                                                "KVM where it is usable, or software emulation in any case."),
    yaml::text<&VmSpec::uri, VmSpec>("uri", "qemu:///system", "Of the libvirt that runs it."),
    Option<VmSpec>{"for",
                   "until `down`",
                   "Ends by itself after this time.",
                   0,
                   0,
                   {},
                   [](const Option<VmSpec>&) { return std::string("10m"); },
                   [](yaml::Map& map, const Option<VmSpec>& o, VmSpec& out) {
                     if (const auto time = map.duration(o.key))
                       out.lifetime = std::chrono::ceil<std::chrono::seconds>(*time);
                   }},
};
constexpr std::array kHugepages{
    yaml::choice<&HugepageSpec::size, HugepageSpec>("size", kPageSizes, "2M; of a tenant: none",
                                                    "Pages of the host that hold the guest's memory."),
    yaml::integer<&HugepageSpec::guest, HugepageSpec>("guest", 0, 1u << 19, "128; of a tenant: 0",
                                                      "2 MiB pages that the guest sets aside inside."),
};
// VFs: 82599, 0..62 beside the PF (reference, pools).
constexpr std::array kNetwork{
    yaml::choice<&NetworkSpec::mode, NetworkSpec>(
        "mode", kNetworkModes, "vf",
        "A VF, the whole PF, a virtio card on a bridge, or a VF of a software NIC (vigia-softnic)."),
    yaml::text<&NetworkSpec::pf, NetworkSpec>(
        "pf", "required but for virtio", "PCI address or interface of the PF; softnic: the folder of its sockets."),
    yaml::text<&NetworkSpec::control, NetworkSpec>("control", "PF/pf.control; of a real PF: /run/vigia/PF.control",
                                                   "Socket of the vigia-pf that manages the PF."),
    yaml::integer_or_auto<&NetworkSpec::vf, NetworkSpec>("vf", 0, 62, "auto", "Which VF; auto: one that is free."),
    yaml::optional_integer<&NetworkSpec::vlan, NetworkSpec>("vlan", 1, 4094, "none", "VLAN of the VF."),
    Option<NetworkSpec>{
        "mac",
        "made from the name",
        "Address of the VF or card.",
        0,
        0,
        {},
        [](const Option<NetworkSpec>&) { return std::string("\"02:00:00:00:00:01\""); },
        [](yaml::Map& map, const Option<NetworkSpec>& o, NetworkSpec& out) { out.mac = map.mac(o.key); }},
    yaml::boolean<&NetworkSpec::trust, NetworkSpec>("trust", "false", "Whether the PF trusts the VF."),
    yaml::text<&NetworkSpec::bridge, NetworkSpec>("bridge", "required for virtio", "The host's bridge."),
};
constexpr std::array kStorage{
    yaml::choice<&StorageSpec::mode, StorageSpec>("mode", kStorageModes, "virtio with a path, else none",
                                                  "A virtio disk, a disk controller given away, or none."),
    yaml::text<&StorageSpec::path, StorageSpec>(
        "path", "none", "Image file or block device; passthrough: the controller's PCI address."),
    yaml::size<&StorageSpec::size, StorageSpec>(
        "size", 16 * kMi, 1024 * kTi, "that of path",
        "Size of the image file, made and set aside if it is not there; one that is there must have it."),
};
constexpr std::array kCapture{
    yaml::size<&CaptureSpec::ring, CaptureSpec>("ring", 4 * kMi, kTi, "64M",
                                                "Shared memory between engine and listeners."),
    yaml::integer<&CaptureSpec::snaplen, CaptureSpec>("snaplen", 0, 65535, "0", "Bytes kept of each frame; 0: all."),
    yaml::choice<&CaptureSpec::policy, CaptureSpec>(
        "policy", kPolicies, "overwritable",
        "When storage is a whole ring behind: new frames are dropped for everybody, or storage alone loses some."),
    yaml::size<&CaptureSpec::max_file, CaptureSpec>("max_file", 2 * kMi, 64 * kGi, "64M", "Size of a stored file."),
    yaml::size<&CaptureSpec::quota, CaptureSpec>("quota", 4 * kMi, 1024 * kTi, "none",
                                                 "Space for stored files; the oldest are deleted."),
    Option<CaptureSpec>{"rotate",
                        "when it is full",
                        "A stored file that holds something ends when it is that old, full or not.",
                        0,
                        0,
                        {},
                        [](const Option<CaptureSpec>&) { return std::string("10m"); },
                        [](yaml::Map& map, const Option<CaptureSpec>& o, CaptureSpec& out) {
                          if (const auto time = map.duration(o.key)) out.rotate = *time;
                        }},
    yaml::text<&CaptureSpec::dedup, CaptureSpec>(
        "dedup", "off", "Leave out frames that repeat a recent one: on, or \"window=200ms,keep=mark\"."),
};
constexpr std::array kGuest{
    yaml::text<&GuestSpec::address, GuestSpec>("address", "none", "IPv4 or IPv6 address with prefix: 10.0.0.11/24."),
    yaml::text<&GuestSpec::gateway, GuestSpec>("gateway", "none", "Default route."),
    yaml::optional_integer<&GuestSpec::vlan, GuestSpec>("vlan", 1, 4094, "none", "A tagged interface inside."),
    yaml::integer<&GuestSpec::mtu, GuestSpec>("mtu", 576, 9710, "1500", "Of the guest's interface."),
    yaml::text<&GuestSpec::script, GuestSpec>("script", "none", "Shell text, run in the guest when the network is up."),
};

template <class T, std::size_t N>
void read(yaml::Map& map, const std::array<Option<T>, N>& options, T& out) {
  yaml::read_options(map, std::span<const Option<T>>(options), out);
}
template <class T, std::size_t N>
std::string explain(const std::array<Option<T>, N>& options, std::string_view indent) {
  return yaml::explain_options(std::span<const Option<T>>(options), indent);
}

// Reads the mapping under key, if there is one, into out.
template <class T, std::size_t N>
void read_part(yaml::Map& parent, std::string_view key, const std::array<Option<T>, N>& options, T& out) {
  if (auto map = parent.map(key)) {
    read(*map, options, out);
    map->finish();
  }
}

// What differs by kind, so that short files mean something sensible.
VmSpec defaults(VmKind kind) {
  VmSpec spec;
  spec.kind = kind;
  spec.image = "probe";
  spec.hugepages.guest = 128;
  if (kind == VmKind::tenant) {
    spec.image = "tenant";
    spec.vcpus = 1;
    spec.memory = 256 * kMi;
    spec.hugepages = {PageSize::none, 0};
  }
  return spec;
}

// Stable, so that a probe that comes back has the address it had; locally administered. FNV-1a, 64 bits.
hw::Mac mac_of_name(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  hw::Mac mac = hw::Mac::unpack((hash ^ hash >> 32) & 0xffff'ffff'ffff);
  mac.bytes[0] = 0x02;
  return mac;
}

std::string beside(const std::filesystem::path& file, const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  return std::filesystem::absolute(file.parent_path() / path).lexically_normal().string();
}

// Paths that count from the file become absolute: libvirt and later commands run elsewhere.
void make_paths_absolute(VmSpec& spec) {
  if (spec.network.mode == NetworkMode::softnic) spec.network.pf = beside(spec.file, spec.network.pf);
  spec.network.control = beside(spec.file, spec.network.control);
  if (spec.storage.mode == StorageMode::virtio) spec.storage.path = beside(spec.file, spec.storage.path);
  if (spec.image.find('/') != std::string::npos) spec.image = beside(spec.file, spec.image);
}

VmSpec read_vm(yaml::Map& vm) {
  const auto kind = vm.choice("kind", kKinds);
  VmSpec spec = defaults(kind ? static_cast<VmKind>(*kind) : VmKind::vnp);
  if (!vm.has("kind") || kind) read(vm, kVm, spec);
  read_part(vm, "hugepages", kHugepages, spec.hugepages);
  vm.require("network", "{mode: .., pf: ..}");
  read_part(vm, "network", kNetwork, spec.network);
  if (auto storage = vm.map("storage")) {
    if (storage->has("path")) spec.storage.mode = StorageMode::virtio;
    read(*storage, kStorage, spec.storage);
    storage->finish();
  }
  read_part(vm, "capture", kCapture, spec.capture);
  if (auto tap = vm.map("tap")) spec.tap = read_tap(*tap);
  if (vm.has("guest")) read_part(vm, "guest", kGuest, spec.guest.emplace());
  vm.finish();
  return spec;
}

// XML keeps no carriage returns; to YAML they are line ends like others.
std::string with_plain_line_ends(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out += text[i];
    } else if (i + 1 == text.size() || text[i + 1] != '\n') {
      out += '\n';
    }
  }
  return out;
}

Result<VmSpec> checked(yaml::Document& document, std::string_view text, const std::filesystem::path& file) {
  VmSpec spec;
  yaml::Map root = document.root();
  root.require("vm", "a mapping; see vigia explain spec");
  if (auto vm = root.map("vm")) spec = read_vm(*vm);
  root.finish();
  spec.file = file;
  spec.text = with_plain_line_ends(text);
  if (!spec.network.mac) spec.network.mac = mac_of_name(spec.name);
  make_paths_absolute(spec);
  // Rules between keys say little that helps while single keys are wrong or missing.
  if (document.good()) {
    for (const pf::Violation& v : validate(spec)) document.report(v.path, v.text);
  }
  if (auto verdict = document.verdict(); !verdict) return verdict.error();
  return spec;
}

}  // namespace

std::string_view command_of(std::string_view kind) {
  return kind == word(VmKind::tenant) ? "tenant" : kind == word(VmKind::vnp) ? "probe" : "agent";
}

std::string_view word(VmKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }
std::string_view word(Affinity affinity) { return kAffinities[static_cast<std::size_t>(affinity)]; }
std::string_view word(NetworkMode mode) { return kNetworkModes[static_cast<std::size_t>(mode)]; }
std::string_view word(StorageMode mode) { return kStorageModes[static_cast<std::size_t>(mode)]; }
std::string_view word(PageSize size) { return kPageSizes[static_cast<std::size_t>(size)]; }
std::string_view word(StorePolicy policy) { return kPolicies[static_cast<std::size_t>(policy)]; }
std::uint64_t bytes(PageSize size) { return size == PageSize::none ? 0 : size == PageSize::m2 ? 2 * kMi : kGi; }

std::string VmSpec::control_socket() const {
  if (!has_vf()) return {};
  if (!network.control.empty()) return network.control;
  return network.mode == NetworkMode::softnic ? network.pf + "/pf.control"
                                              : fmt::format("/run/vigia/{}.control", network.pf);
}

Result<VmSpec> parse_vm(std::string_view text, const std::filesystem::path& file) {
  auto document = yaml::Document::parse(text, file.string());
  return document ? checked(*document, text, file) : document.error();
}

Result<VmSpec> load_vm(const std::filesystem::path& file) {
  // The text is read once, so that what is parsed is what the domain's metadata will hold.
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in && !in.eof()) {
    return input_error(fmt::format("{}: cannot be read; check the path and its permissions", file.string()));
  }
  return parse_vm(text, file);
}

std::string explain_spec() {
  return "vm:\n" + explain(kVm, "  ") + "  hugepages:\n" + explain(kHugepages, "    ") + "  network:\n" +
         explain(kNetwork, "    ") + "  storage:\n" + explain(kStorage, "    ") +
         "  capture:           of vnp and vnma\n" + explain(kCapture, "    ") +
         "  tap:               of vnma: one of tenants, port, vlan; of a vnp, which has the port: direction alone\n" +
         explain_tap("    ") + "  guest:             of a tenant\n" + explain(kGuest, "    ") +
         "\n"
         "A probe in five lines:\n"
         "\n"
         "  vm:\n"
         "    name: probe1\n"
         "    kind: vnp\n"
         "    network: {mode: vf, pf: \"0000:3b:00.0\"}\n"
         "    storage: {path: /srv/probe1.img, size: 100G}\n"
         "\n"
         "Relative paths count from the file. `vigia plan FILE` shows where it would run and why, and does nothing.\n";
}

}  // namespace vigia::orch
