// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "pfdriver/yaml_options.h"

namespace vigia::pf {
namespace {

constexpr std::array<std::string_view, 2> kDefaultPools{"drop", "pf"};
constexpr std::array<std::string_view, 3> kVlanFilters{"auto", "on", "off"};
constexpr std::array<std::string_view, 3> kDirections{"rx", "tx", "both"};
constexpr std::array<std::string_view, 4> kGenerators{"native", "kernel", "dpdk", "tc"};
constexpr std::array<std::string_view, 3> kLinks{"auto", "up", "down"};

// 64 pools, one of them the PF's own (82599 section 1.3); slots and sizes as the part has them.
constexpr std::uint64_t kMostVfs = 63, kLastVf = kMostVfs - 1;

const std::array kPortOptions{
    yaml::choice<&PfConfig::generator, PfConfig>(
        "generator", kGenerators, "native",
        "who makes the VFs: native: vigia-pf drives the function itself; kernel: Linux's driver, told by vigia-pf; "
        "dpdk: "
        "DPDK's driver in testpmd, started by vigia-pf; tc: none, VFs are interfaces of the host"),
    yaml::boolean<&PfConfig::host_drivers, PfConfig>(
        "host_drivers", "false",
        "generator kernel: let the host's VF driver take each VF once its settings are in place"),
    yaml::integer<&PfConfig::vfs, PfConfig>("vfs", 1, kMostVfs, "required", "number of virtual functions"),
    yaml::integer<&PfConfig::mtu, PfConfig>("mtu", 68, 9710, "1500", "payload bytes of the largest frame, for all VFs"),
    yaml::choice<&PfConfig::default_pool, PfConfig>(
        "default_pool", kDefaultPools, "drop",
        "where an accepted frame goes that no VF wants; pf: to the PF's pool, which counts it and has no reader"),
    yaml::choice<&PfConfig::vlan_filter, PfConfig>("vlan_filter", kVlanFilters, "auto",
                                                   "hold VFs to their VLANs; auto: as soon as a VF has a VLAN"),
    yaml::boolean<&PfConfig::loopback, PfConfig>("loopback", "true", "switch frames between VFs inside the NIC"),
};

const std::array kVfOptions{
    yaml::integer<&VfConfig::index, VfConfig>("index", 0, kLastVf, "required", "which VF"),
    yaml::mac<&VfConfig::mac, VfConfig>(
        "mac", "the VF chooses",
        "unicast MAC address of the VF; generator tc: the guest's own, for predictions of "
        "what its mirrors copy"),
    yaml::optional_integer<&VfConfig::vlan, VfConfig>("vlan", 1, 4094, "none", "VLAN that the VF is a member of"),
    yaml::boolean<&VfConfig::port_vlan, VfConfig>(
        "port_vlan", "false", "insert the VLAN for the VF; its driver strips the tag and must not send tags itself"),
    yaml::boolean<&VfConfig::trust, VfConfig>("trust", "false",
                                              "may change its MAC, see all multicast, query RSS table and key"),
    yaml::boolean<&VfConfig::spoof_check, VfConfig>("spoof_check", "true",
                                                    "drop what it sends with a foreign source MAC or VLAN"),
    yaml::integer<&VfConfig::rate_mbps, VfConfig>("rate_mbps", 0, 10000, "0",
                                                  "transmit limit in Mb/s; 0: none, else at least 10"),
    yaml::choice<&VfConfig::link, VfConfig>("link", kLinks, "auto",
                                            "what the VF is told of the link; auto: the port's own (generator kernel)"),
    yaml::text<&VfConfig::name, VfConfig>("name", "none", "what the operator calls it"),
    yaml::text<&VfConfig::interface, VfConfig>("interface", "none",
                                               "generator tc: the interface of the host that the guest is behind"),
};

const std::array kTapOptions{
    yaml::text<&Tap::name, Tap>("name", "required", "unique name of the tap"),
    yaml::boolean<&Tap::port, Tap>("port", "false", "the whole port instead of tenants"),
    yaml::integers<&Tap::from, Tap>("from", 0, kLastVf, "required unless port", "tenant VFs whose traffic is shown"),
    yaml::integer<&Tap::to, Tap>("to", 0, kLastVf, "required", "VF of the agent that gets the copies"),
    yaml::choice<&Tap::direction, Tap>("direction", kDirections, "rx",
                                       "what the tenants (or the port) receive, send, or both"),
    yaml::boolean<&Tap::allow_port_scope, Tap>(
        "allow_port_scope", "false", "accept a rule that copies what every VF sends, where the NIC has none narrower"),
};

void check_vfs(const PfConfig& config, std::vector<Violation>& out) {
  std::map<unsigned, std::size_t> indexes;
  std::map<std::uint64_t, std::size_t> macs;
  std::map<std::string, std::size_t> names;
  for (std::size_t i = 0; i < config.vf.size(); ++i) {
    const VfConfig& vf = config.vf[i];
    const auto at = [i](std::string_view key) { return fmt::format("pf.vf[{}].{}", i, key); };
    if (vf.index >= config.vfs) {
      out.push_back({at("index"), fmt::format("VF {} does not exist: pf.vfs is {}, so VFs are 0..{}", vf.index,
                                              config.vfs, config.vfs - 1)});
    }
    if (const auto [old, fresh] = indexes.emplace(vf.index, i); !fresh) {
      out.push_back(
          {at("index"), fmt::format("VF {} is described in pf.vf[{}] already; merge the two", vf.index, old->second)});
    }
    if (vf.mac) {
      if (vf.mac->zero() || vf.mac->multicast()) {
        out.push_back({at("mac"), fmt::format("{} is no unicast address; take one like 02:00:00:00:00:{:02x}",
                                              vf.mac->text(), vf.index + 1)});
      } else if (const auto [old, fresh] = macs.emplace(vf.mac->packed(), i); !fresh) {
        out.push_back({at("mac"), fmt::format("{} is the MAC of pf.vf[{}] too; give each VF its own", vf.mac->text(),
                                              old->second)});
      }
    }
    if (vf.port_vlan && !vf.vlan) {
      out.push_back({at("port_vlan"), "is true but the VF has no vlan; say which one with vlan: 1..4094"});
    }
    if (vf.vlan && config.vlan_filter == VlanFilter::off) {
      out.push_back({at("vlan"), "has no effect with vlan_filter: off; use auto or on"});
    }
    if (vf.rate_mbps > 0 && vf.rate_mbps < 10) {
      out.push_back(
          {at("rate_mbps"), fmt::format("{} is below what the limiter can do; 0 or 10..10000", vf.rate_mbps)});
    }
    if (!vf.name.empty()) {
      if (const auto [old, fresh] = names.emplace(vf.name, i); !fresh) {
        out.push_back({at("name"), fmt::format("\"{}\" is the name of pf.vf[{}] too", vf.name, old->second)});
      }
    }
  }
}

// Keys that only one generator has an idea of.
void check_generator(const PfConfig& config, std::vector<Violation>& out) {
  const bool kernel = config.generator == GeneratorKind::kernel, tc = config.generator == GeneratorKind::tc;
  if (config.host_drivers && !kernel) {
    out.push_back({"pf.host_drivers", "is for generator: kernel, the only one beside which the host drives VFs"});
  }
  if (tc && config.vf.size() < config.vfs) {
    out.push_back({"pf.vf", "generator: tc wants one entry for each of pf.vfs, with its interface"});
  }
  std::map<std::string, std::size_t> interfaces;
  for (std::size_t i = 0; i < config.vf.size(); ++i) {
    const VfConfig& vf = config.vf[i];
    const auto at = [i](std::string_view key) { return fmt::format("pf.vf[{}].{}", i, key); };
    if (vf.link != VfLink::automatic && !kernel) {
      out.push_back({at("link"), "is for generator: kernel; the others leave the VF's link to the port"});
    }
    if (!tc && !vf.interface.empty()) out.push_back({at("interface"), "is for generator: tc; VFs have no need of it"});
    if (tc && vf.interface.empty()) {
      out.push_back({at("interface"), "is missing: with generator: tc each entry names an interface of the host"});
    } else if (const auto [old, fresh] = interfaces.emplace(vf.interface, i); tc && !fresh) {
      out.push_back(
          {at("interface"), fmt::format("\"{}\" is the interface of pf.vf[{}] too", vf.interface, old->second)});
    }
    if (tc && (vf.vlan || vf.port_vlan || vf.trust || !vf.spoof_check || vf.rate_mbps > 0)) {
      out.push_back({at("index"),
                     "with generator: tc an entry has index, name, interface and mac only; VLAN and the rest are "
                     "the guest's and the bridge's business"});
    }
  }
}

void check_tap_sources(const PfConfig& config, const Tap& tap, const std::string& path, std::vector<Violation>& out) {
  if (tap.port && !tap.from.empty()) {
    out.push_back({path + ".from", "a tap is of the whole port or of tenants; remove port: true or from"});
  }
  if (!tap.port && tap.from.empty()) {
    out.push_back({path + ".from", "names no tenant; list VFs, as in [0, 1], or say port: true"});
  }
  std::set<unsigned> seen;
  for (std::size_t k = 0; k < tap.from.size(); ++k) {
    const unsigned source = tap.from[k];
    const std::string at = fmt::format("{}.from[{}]", path, k);
    if (source >= config.vfs) {
      out.push_back({at, fmt::format("VF {} does not exist: pf.vfs is {}, so VFs are 0..{}", source, config.vfs,
                                     config.vfs - 1)});
    }
    if (source == tap.to) {
      out.push_back({at, fmt::format("VF {} would be tapped to itself; send the copies to another VF", source)});
    }
    if (!seen.insert(source).second) out.push_back({at, fmt::format("VF {} is named twice", source)});
  }
}

void check_taps(const PfConfig& config, std::vector<Violation>& out) {
  std::map<std::string, std::size_t> names;
  for (std::size_t i = 0; i < config.taps.size(); ++i) {
    const Tap& tap = config.taps[i];
    const std::string path = fmt::format("pf.taps[{}]", i);
    if (const auto [old, fresh] = names.emplace(tap.name, i); !fresh && !tap.name.empty()) {
      out.push_back({path + ".name", fmt::format("\"{}\" is the name of pf.taps[{}] too", tap.name, old->second)});
    }
    if (tap.to >= config.vfs) {
      out.push_back({path + ".to", fmt::format("VF {} does not exist: pf.vfs is {}, so VFs are 0..{}", tap.to,
                                               config.vfs, config.vfs - 1)});
    }
    check_tap_sources(config, tap, path, out);
  }
}

Result<PfConfig> read(yaml::Document document) {
  PfConfig config;
  yaml::Map root = document.root();
  if (auto port = root.map("pf")) {
    yaml::read_options<PfConfig>(*port, kPortOptions, config);
    for (yaml::Map& entry : port->maps("vf").value_or(std::vector<yaml::Map>{})) config.vf.push_back(read_vf(entry));
    for (yaml::Map& entry : port->maps("taps").value_or(std::vector<yaml::Map>{})) {
      config.taps.push_back(read_tap(entry));
    }
    port->finish();
  } else if (!root.has("pf")) {
    document.report("", "has no key pf; `vigia pf explain` prints the schema");
  }
  root.finish();
  // Rules between options are judged only on values that are what they seem: a wrong value would break more rules than
  // its writer did.
  if (document.good()) {
    for (const Violation& v : validate(config)) document.report(v.path, v.text);
  }
  if (auto verdict = document.verdict(); !verdict) return verdict.error();
  return complete(std::move(config));
}

}  // namespace

VfConfig read_vf(yaml::Map& map) {
  VfConfig vf;
  yaml::read_options<VfConfig>(map, kVfOptions, vf);
  map.finish();
  return vf;
}

Tap read_tap(yaml::Map& map) {
  Tap tap;
  yaml::read_options<Tap>(map, kTapOptions, tap);
  map.finish();
  return tap;
}

std::string_view direction_word(Direction direction) { return kDirections[static_cast<std::size_t>(direction)]; }

std::string_view generator_word(GeneratorKind generator) { return kGenerators[static_cast<std::size_t>(generator)]; }

std::optional<GeneratorKind> parse_generator(std::string_view word) {
  const auto at = std::find(kGenerators.begin(), kGenerators.end(), word);
  return at == kGenerators.end() ? std::nullopt : std::optional(static_cast<GeneratorKind>(at - kGenerators.begin()));
}

std::string_view link_word(VfLink link) { return kLinks[static_cast<std::size_t>(link)]; }

std::string VfConfig::title() const {
  return name.empty() ? fmt::format("VF {}", index) : fmt::format("VF {} ({})", index, name);
}

bool PfConfig::filters_vlans() const {
  if (vlan_filter != VlanFilter::automatic) return vlan_filter == VlanFilter::on;
  return std::any_of(vf.begin(), vf.end(), [](const VfConfig& v) { return v.vlan.has_value(); });
}

std::vector<Violation> validate(const PfConfig& config) {
  std::vector<Violation> out;
  check_generator(config, out);
  check_vfs(config, out);
  check_taps(config, out);
  return out;
}

Result<PfConfig> parse_config(std::string_view text, std::string_view file) {
  auto document = yaml::Document::parse(text, file);
  if (!document) return document.error();
  return read(std::move(*document));
}

Result<PfConfig> load_config(const std::filesystem::path& file) {
  auto document = yaml::Document::load(file);
  if (!document) return document.error();
  return read(std::move(*document));
}

PfConfig complete(PfConfig config) {
  std::vector<VfConfig> all(config.vfs);
  for (unsigned i = 0; i < config.vfs; ++i) all[i].index = i;
  for (VfConfig& vf : config.vf) {
    if (vf.index < config.vfs) all[vf.index] = std::move(vf);
  }
  config.vf = std::move(all);
  return config;
}

PfConfig without_taps(PfConfig config) {
  config.taps.clear();
  return config;
}

std::string explain_config() {
  return "pf:\n" + yaml::explain_options<PfConfig>(kPortOptions, "  ") +
         "  vf:                # list; one entry per VF\n" + "    -\n" +
         yaml::explain_options<VfConfig>(kVfOptions, "      ") + "  taps:              # list\n" + "    -\n" +
         yaml::explain_options<Tap>(kTapOptions, "      ");
}

}  // namespace vigia::pf
