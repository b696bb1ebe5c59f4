// SPDX-License-Identifier: Apache-2.0
// What a VM's keys mean together.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "hw/duplicate_options.h"
#include "hw/values.h"
#include "orchestrator/vm_spec.h"

namespace vigia::orch {
namespace {

using List = std::vector<pf::Violation>;

constexpr std::uint64_t kMi = 1u << 20;
constexpr std::size_t kLongestName = 40;           // NAME.channel must fit a socket's path beside any usual folder
constexpr std::size_t kLongestSocketPath = 107;    // sun_path holds 108 with its NUL
constexpr std::size_t kLongestScript = 32u << 10;  // one argument of QEMU holds it, escaped (Linux: 128 KiB each)

bool plain_name(std::string_view name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !name.empty() && name.size() <= kLongestName && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), good);
}

// Bytes of the UTF-8 sequence that text begins with, if XML 1.0 may hold its character
// and gives it back as it was (not so a carriage return); else 0.
std::size_t xml_character(std::string_view text) {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned lead = at(0);
  if (lead < 0x80) return lead >= 0x20 || lead == '\t' || lead == '\n' ? 1 : 0;
  const std::size_t length = lead >= 0xc2 && lead < 0xe0   ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
  unsigned value = lead & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
    value = value << 6 | (at(i) & 0x3f);
  }
  constexpr std::array<unsigned, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
  const bool forbidden = value < kLeast[length] || (value >= 0xd800 && value < 0xe000) || value > 0x10ffff ||
                         value == 0xfffe || value == 0xffff;
  return forbidden ? 0 : length;
}

bool fits_xml(std::string_view text) {
  while (!text.empty()) {
    const std::size_t n = xml_character(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

void check_texts(const VmSpec& spec, List& out) {
  const std::pair<std::string_view, const std::string*> texts[] = {
      {"vm", &spec.text},
      {"vm.image", &spec.image},
      {"vm.uri", &spec.uri},
      {"vm.network.pf", &spec.network.pf},
      {"vm.network.control", &spec.network.control},
      {"vm.network.bridge", &spec.network.bridge},
      {"vm.storage.path", &spec.storage.path},
      {"vm.guest.script", spec.guest ? &spec.guest->script : nullptr}};
  for (const auto& [path, text] : texts) {
    if (text != nullptr && !fits_xml(*text)) {
      out.push_back({std::string(path), "holds control characters or is not UTF-8; the domain's XML cannot keep it"});
    }
  }
  if (!plain_name(spec.name)) {
    out.push_back({"vm.name", fmt::format("\"{}\": use 1 to {} letters, digits, '-' and '_', and no '-' first",
                                          fits_xml(spec.name) ? spec.name : "?", kLongestName)});
  }
}

bool pci_address(std::string_view text) {
  constexpr std::string_view kForm = "hhhh:hh:hh.o";
  if (text.size() != kForm.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (kForm[i] == 'h' ? !hex : kForm[i] == 'o' ? c < '0' || c > '7' : c != kForm[i]) return false;
  }
  return true;
}

void check_memory(const VmSpec& spec, List& out) {
  const std::uint64_t page = bytes(spec.hugepages.size);
  if (spec.memory % kMi != 0) {
    out.push_back({"vm.memory", "is not a whole number of MiB"});
  } else if (page != 0 && spec.memory % page != 0) {
    out.push_back(
        {"vm.memory", fmt::format("{} is not a whole number of {} hugepages; say {}, or another hugepages.size",
                                  hw::size_word(spec.memory), word(spec.hugepages.size),
                                  hw::size_word((spec.memory / page + 1) * page))});
  }
  // A quarter stays for the guest's kernel and programs.
  const std::uint64_t inside = std::uint64_t{spec.hugepages.guest} * 2 * kMi;
  if (inside > spec.memory / 4 * 3) {
    out.push_back({"vm.hugepages.guest",
                   fmt::format("{} pages of 2 MiB are more than three quarters of the guest's {}; give it more memory",
                               spec.hugepages.guest, hw::size_word(spec.memory))});
  }
}

void check_network(const VmSpec& spec, List& out) {
  const NetworkSpec& n = spec.network;
  const bool virtio = n.mode == NetworkMode::virtio;
  const auto useless = [&](bool given, std::string_view key, std::string_view why) {
    if (given) out.push_back({fmt::format("vm.network.{}", key), std::string(why)});
  };
  if (virtio) {
    if (n.bridge.empty()) out.push_back({"vm.network.bridge", "is missing; virtio needs the name of a bridge"});
    useless(!n.pf.empty(), "pf", "a virtio card has no PF; remove it, or choose mode vf or pf");
    useless(n.vlan.has_value(), "vlan", "a virtio card's VLAN is its bridge's business; remove it");
  } else {
    if (n.pf.empty()) out.push_back({"vm.network.pf", "is missing; name the PF, or the folder of the software NIC"});
    useless(!n.bridge.empty(), "bridge", "only mode virtio has a bridge; remove it");
  }
  if (!spec.has_vf()) {
    useless(n.vf.has_value(), "vf", fmt::format("mode {} takes no VF; remove it", word(n.mode)));
    useless(n.trust, "trust", fmt::format("mode {} takes no VF that could be trusted; remove it", word(n.mode)));
    useless(!n.control.empty(), "control", fmt::format("mode {} needs no vigia-pf; remove it", word(n.mode)));
  }
  if (n.mode == NetworkMode::pf) useless(n.vlan.has_value(), "vlan", "the guest has the whole PF; set it inside");
  if (n.mac && (n.mac->multicast() || n.mac->zero())) {
    out.push_back({"vm.network.mac", fmt::format("{} is no address of a single station", n.mac->text())});
  }
  if (const std::string socket = spec.control_socket(); socket.size() > kLongestSocketPath) {
    out.push_back({"vm.network", fmt::format("the path {} is too long for a socket (at most {} characters)", socket,
                                             kLongestSocketPath)});
  }
}

void check_storage(const VmSpec& spec, List& out) {
  const StorageSpec& s = spec.storage;
  switch (s.mode) {
    case StorageMode::none:
      if (!s.path.empty()) out.push_back({"vm.storage.path", "mode none has no disk; remove one of the two"});
      if (s.size != 0) out.push_back({"vm.storage.size", "needs a path: /srv/probe.img"});
      return;
    case StorageMode::virtio:
      if (s.path.empty()) out.push_back({"vm.storage.path", "is missing; name an image file or a block device"});
      if (s.size % 512 != 0) out.push_back({"vm.storage.size", "is not a whole number of 512 byte sectors"});
      return;
    case StorageMode::passthrough:
      if (!pci_address(s.path)) {
        out.push_back({"vm.storage.path", "must be the PCI address of the disk controller, as 0000:5e:00.0 is"});
      }
      if (s.size != 0)
        out.push_back({"vm.storage.size", "a controller that is given away has the size it has; remove it"});
  }
}

void check_tap(const VmSpec& spec, List& out) {
  if (spec.kind == VmKind::tenant) {
    if (spec.tap) out.push_back({"vm.tap", "a tenant is shown nothing; for a tap say kind: vnma"});
    return;
  }
  if (spec.kind == VmKind::vnp) {
    if (spec.tap && (!spec.tap->says_nothing() || spec.tap->allow_port_scope)) {
      out.push_back({"vm.tap",
                     "a vnp watches the whole port, and of a tap takes its direction alone; for more say "
                     "kind: vnma"});
    }
    if (spec.tap && !spec.has_vf()) {
      out.push_back({"vm.tap", fmt::format("mode {} sees what there is; remove it", word(spec.network.mode))});
    }
    return;
  }
  if (!spec.has_vf()) {
    out.push_back({"vm.network.mode", fmt::format("{}: the NIC copies frames to VFs only; an agent needs vf or softnic",
                                                  word(spec.network.mode))});
  }
  if (!spec.tap) {
    out.push_back({"vm.tap", "is missing; an agent is shown what it names: {tenants: [web], direction: rx}"});
    return;
  }
  if (!spec.tap->says_one_thing()) out.push_back({"vm.tap", std::string(kTapChoice)});
  std::vector<std::string> names = spec.tap->tenants;
  std::sort(names.begin(), names.end());
  if (std::adjacent_find(names.begin(), names.end()) != names.end()) {
    out.push_back({"vm.tap.tenants", "names a tenant twice"});
  }
  for (const std::string& name : names) {
    if (name == spec.name) out.push_back({"vm.tap.tenants", "an agent cannot tap itself: its copies would be copied"});
    if (!plain_name(name)) out.push_back({"vm.tap.tenants", "holds what cannot be the name of a VM"});
  }
}

void check_capture(const VmSpec& spec, List& out) {
  const CaptureSpec& c = spec.capture;
  if (!spec.captures()) return;
  if (c.ring % kMi != 0) out.push_back({"vm.capture.ring", "is not a whole number of MiB"});
  if (c.ring > spec.memory / 2) {
    out.push_back({"vm.capture.ring", fmt::format("{} is more than half of the guest's {}; give it more memory",
                                                  hw::size_word(c.ring), hw::size_word(spec.memory))});
  }
  if (c.max_file % kMi != 0) out.push_back({"vm.capture.max_file", "is not a whole number of MiB"});
  if (auto ok = hw::parse_duplicate_options(c.dedup); !ok) out.push_back({"vm.capture.dedup", ok.error().text});
  if (c.quota != 0 && c.quota < 2 * c.max_file) {
    out.push_back({"vm.capture.quota",
                   fmt::format("must hold at least two files of max_file, {}", hw::size_word(2 * c.max_file))});
  }
}

// The address's family, or nothing when it is none.
std::optional<int> family(const std::string& address) {
  std::array<unsigned char, 16> bytes{};
  for (const int f : {AF_INET, AF_INET6}) {
    if (::inet_pton(f, address.c_str(), bytes.data()) == 1) return f;
  }
  return std::nullopt;
}

void check_guest(const VmSpec& spec, List& out) {
  if (!spec.guest) return;
  if (spec.kind != VmKind::tenant) {
    out.push_back({"vm.guest", "only a tenant has it; probes and agents configure themselves"});
    return;
  }
  const GuestSpec& g = *spec.guest;
  const auto slash = g.address.find('/');
  const auto address_family = family(g.address.substr(0, slash));
  if (!g.address.empty()) {
    unsigned prefix = 0;
    const std::string_view digits =
        slash == std::string::npos ? std::string_view() : std::string_view(g.address).substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
    const bool number = error == std::errc{} && end == digits.data() + digits.size();
    if (!address_family || !number || prefix > (*address_family == AF_INET ? 32u : 128u)) {
      out.push_back({"vm.guest.address", "is no address with a prefix length, as 10.0.0.11/24 is"});
    }
  }
  if (!g.gateway.empty()) {
    const auto gateway_family = family(g.gateway);
    if (!gateway_family) {
      out.push_back({"vm.guest.gateway", "is no IP address"});
    } else if (g.address.empty() || (address_family && gateway_family != address_family)) {
      out.push_back({"vm.guest.gateway", "needs an address of the same family"});
    }
  }
  if (g.script.size() > kLongestScript) {
    out.push_back(
        {"vm.guest.script", fmt::format("is larger than {}; let it fetch the rest", hw::size_word(kLongestScript))});
  }
}

}  // namespace

std::vector<pf::Violation> validate(const VmSpec& spec) {
  List out;
  check_texts(spec, out);
  if (spec.image.empty()) out.push_back({"vm.image", "is empty; remove the key for the usual image"});
  if (spec.uri.empty()) out.push_back({"vm.uri", "is empty; remove the key for qemu:///system"});
  check_memory(spec, out);
  check_network(spec, out);
  check_storage(spec, out);
  check_tap(spec, out);
  check_capture(spec, out);
  check_guest(spec, out);
  return out;
}

}  // namespace vigia::orch
