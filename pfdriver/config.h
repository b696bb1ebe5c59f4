// SPDX-License-Identifier: Apache-2.0
// pf.yaml: what the operator wants of one port. Desired state is data (architecture 5.3): parsed and checked here,
// turned into registers by plan.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/mac.h"
#include "hw/result.h"
#include "pfdriver/yaml_fields.h"

namespace vigia::pf {

enum class DefaultPool { drop, pf };
enum class VlanFilter { automatic, on, off };
enum class Direction { rx, tx, both };
// Who makes the VFs: see generator.h.
enum class GeneratorKind { native, kernel, dpdk, tc };
// What a VF is told of the link: the port's own, or always up or down.
enum class VfLink { automatic, up, down };

// One VF. Everything has a default, so a VF that the file does not mention is an ordinary untrusted one.
struct VfConfig {
  unsigned index = 0;
  std::optional<hw::Mac> mac;         // none: the VF chooses its own
  std::optional<std::uint16_t> vlan;  // makes the VF a member
  bool port_vlan = false;             // vlan is inserted for the VF, which must not tag
  bool trust = false;
  bool spoof_check = true;
  unsigned rate_mbps = 0;  // transmit limit, 0: none
  VfLink link = VfLink::automatic;
  std::string name;
  std::string interface;  // generator tc: the host's side of the guest's interface

  // "VF 0 (web)", for sentences.
  std::string title() const;
  friend bool operator==(const VfConfig&, const VfConfig&) = default;
};

// The wish to show an agent some traffic. rx and tx are seen from the tenant, or from the port.
struct Tap {
  std::string name;
  bool port = false;           // the whole port; from is empty then
  std::vector<unsigned> from;  // tenant VFs
  unsigned to = 0;             // the agent's VF
  Direction direction = Direction::rx;
  bool allow_port_scope = false;
  friend bool operator==(const Tap&, const Tap&) = default;

  bool wants_rx() const { return direction != Direction::tx; }
  bool wants_tx() const { return direction != Direction::rx; }
};

struct PfConfig {
  GeneratorKind generator = GeneratorKind::native;
  bool host_drivers = false;  // generator kernel: the host's own driver takes the VFs
  unsigned vfs = 0;
  unsigned mtu = 1500;  // bytes of payload of a frame, for the port and all VFs
  DefaultPool default_pool = DefaultPool::drop;
  VlanFilter vlan_filter = VlanFilter::automatic;
  bool loopback = true;
  std::vector<VfConfig> vf;  // after parsing: one per VF, in order
  std::vector<Tap> taps;
  friend bool operator==(const PfConfig&, const PfConfig&) = default;

  // Whether frames are held to the VLANs of their pool.
  bool filters_vlans() const;
};

// A broken rule: where ("pf.vf[1].mac") and what, with what to do.
struct Violation {
  std::string path, text;
  friend bool operator==(const Violation&, const Violation&) = default;
};

// Every rule between options that the config breaks; pure. Ranges of single options are the parser's business.
// listed: config.vf is as the file lists it, not yet one per VF.
std::vector<Violation> validate(const PfConfig& config);

// Parses, then validates. The error lists every fault as "file:line: key: text".
Result<PfConfig> parse_config(std::string_view text, std::string_view file);
Result<PfConfig> load_config(const std::filesystem::path& file);

// One entry of vf: or taps:, with every key read and unknown ones refused.
VfConfig read_vf(yaml::Map& map);
Tap read_tap(yaml::Map& map);
std::string_view direction_word(Direction direction);
std::string_view generator_word(GeneratorKind generator);
std::optional<GeneratorKind> parse_generator(std::string_view word);
std::string_view link_word(VfLink link);

// Fills config.vf up to one entry per VF, in order. For configs that were built, not parsed.
PfConfig complete(PfConfig config);

// The same port without taps: what revert goes back to.
PfConfig without_taps(PfConfig config);

// The schema with defaults and meanings, printed from the parser's own table.
std::string explain_config();

}  // namespace vigia::pf
