// SPDX-License-Identifier: Apache-2.0
// lab.yaml: what a lab run is to do. Parsing and validation touch nothing but the input files, which are opened and
// read to their ends: whatever can be refused is refused before the first process starts, every fault at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hw/mac.h"
#include "hw/result.h"
#include "orchestrator/tap_spec.h"

namespace vigia::orch {

struct GenSpec {
  unsigned size = 64;  // bytes on the wire with FCS
  std::uint64_t flows = 4096;
  std::uint64_t count = 1'000'000;
  std::string rate;  // empty: that of the traffic
};

struct TrafficSpec {
  std::string file;  // as written; resolve() makes it a path
  std::string rate = "max";
  std::uint64_t loop = 1;
  std::optional<GenSpec> gen;
};

enum class Reply { none, swap };

inline constexpr unsigned kNoVf = ~0u;  // the file does not say which, or says it wrongly

struct TenantSpec {
  std::string path;  // in the file, for messages: "lab.tenants[1]"
  std::string name;
  unsigned vf = kNoVf;
  hw::Mac mac;
  std::string match;  // libpcap filter; empty: takes no traffic of the file
  std::optional<std::uint16_t> vlan;
  Reply reply = Reply::none;
  std::string send;  // capture, or "gen:...", that the tenant transmits; empty: none
};

enum class AgentOutput { pcapng, raw, none };

struct AgentSpec {
  std::string path;  // "lab.agent" or "lab.agents[0]"
  std::string name;
  unsigned vf = kNoVf;
  hw::Mac mac;
  std::optional<TapSpec> tap;
  AgentOutput out = AgentOutput::pcapng;
  unsigned snaplen = 0;       // 0: whole frames
  std::string ring;           // "256M"; empty: what vigia-capture takes by itself
  std::string dedup = "off";  // as hw::parse_duplicate_options() takes it
  unsigned queues = 1;        // receive queues, each with an engine, a ring and RAW files of its own
  bool poll = false;
};

enum class Timing { none, nic82599 };
enum class Doorbells { map, trap };

struct LabSpec {
  std::filesystem::path file;  // where it was read from; relative paths in it count from there
  unsigned vfs = 0;
  unsigned mtu = 9000;  // bytes of layer 3
  TrafficSpec traffic;
  std::vector<TenantSpec> tenants;
  std::vector<AgentSpec> agents;
  Timing timing = Timing::none;
  Doorbells doorbells = Doorbells::map;
  hw::Mac nobody;  // made up: the destination of frames that no tenant matches

  // Whether generated traffic goes to tenants by their matches, as a file's would.
  bool shares_out_generated() const;
  // Of a path written in this file: beside the lab file, else from the current folder.
  std::filesystem::path resolve(const std::string& path) const;
};

// Reads and checks; an input error lists every fault as "file:line: key: what, what to do".
Result<LabSpec> load_lab(const std::filesystem::path& file);
Result<LabSpec> parse_lab(std::string_view text, const std::filesystem::path& file);

// The text of `vigia explain lab`, from the tables that parse.
std::string explain_lab();

}  // namespace vigia::orch
