// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/lab_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "orchestrator/lab_rules.h"
#include "pfdriver/yaml_fields.h"
#include "pfdriver/yaml_options.h"

namespace vigia::orch {
namespace {

namespace yaml = pf::yaml;
template <class T>
using Option = yaml::Option<T>;

constexpr std::array<std::string_view, 2> kTimings{"none", "82599"};
constexpr std::array<std::string_view, 2> kDoorbells{"map", "trap"};
constexpr std::array<std::string_view, 2> kReplies{"none", "swap"};
constexpr std::array<std::string_view, 3> kOutputs{"pcapng", "raw", "none"};

// 82599: VFs 0..62 beside the PF (reference, pools); MTU: what every mailbox API and both known PF drivers accept.
constexpr std::array kLab{
    yaml::integer<&LabSpec::vfs, LabSpec>("vfs", 1, 63, "required", "VFs that the software NIC has."),
    yaml::integer<&LabSpec::mtu, LabSpec>("mtu", 576, 9710, "9000",
                                          "Largest layer 3 size; longer frames are dropped by the NIC and accounted."),
    yaml::choice<&LabSpec::timing, LabSpec>("timing", kTimings, "none",
                                            "As fast as memory, or with the 82599's wire, buffer and PCIe budget."),
    yaml::choice<&LabSpec::doorbells, LabSpec>("doorbells", kDoorbells, "map",
                                               "Queue registers as shared memory, or trapped as for QEMU guests."),
};
constexpr std::array kTraffic{
    yaml::text<&TrafficSpec::file, TrafficSpec>(
        "file", "none", "Capture to send: pcap or pcapng, Ethernet; a relative path counts from the lab file."),
    yaml::text<&TrafficSpec::rate, TrafficSpec>("rate", "max", "max, 1x, <n>x, <n>kpps, <n>mpps, <n>mbps or <n>gbps."),
    yaml::integer<&TrafficSpec::loop, TrafficSpec>("loop", 1, 1'000'000'000, "1", "How often the file is sent."),
};
constexpr std::array kGen{
    yaml::integer<&GenSpec::size, GenSpec>("size", 64, 9728, "64", "Bytes of a frame on the wire, FCS included."),
    yaml::integer<&GenSpec::flows, GenSpec>("flows", 1, 1u << 20, "4096", "Different UDP flows."),
    yaml::integer<&GenSpec::count, GenSpec>("count", 1, 1'000'000'000'000, "1000000", "Frames to send."),
    yaml::text<&GenSpec::rate, GenSpec>("rate", "of the traffic", "As rate of the traffic."),
};
constexpr std::array kTenant{
    yaml::text<&TenantSpec::name, TenantSpec>("name", "required", "Letters, digits, '-' and '_'; names its files."),
    yaml::integer<&TenantSpec::vf, TenantSpec>("vf", 0, 62, "required", "Its VF, counted from 0."),
    yaml::mac<&TenantSpec::mac, TenantSpec>("mac", "made up", "Address of its VF; its traffic is rewritten to it."),
    yaml::text<&TenantSpec::match, TenantSpec>(
        "match", "nothing", "libpcap filter (pcap-filter(7)): the frames of the file that are its; first match wins."),
    yaml::optional_integer<&TenantSpec::vlan, TenantSpec>("vlan", 1, 4094, "none",
                                                          "VLAN of its own: the NIC gives it to no other VF."),
    yaml::choice<&TenantSpec::reply, TenantSpec>("reply", kReplies, "none",
                                                 "swap: send every frame back with its addresses exchanged."),
    yaml::text<&TenantSpec::send, TenantSpec>(
        "send", "none",
        "Frames that it sends itself, source address replaced: a capture, or gen:count=N,size=S,dst=MAC."),
};
constexpr std::array kAgent{
    yaml::text<&AgentSpec::name, AgentSpec>("name", "required", "Letters, digits, '-' and '_'; names its files."),
    yaml::integer<&AgentSpec::vf, AgentSpec>("vf", 0, 62, "required", "Its VF, counted from 0."),
    yaml::mac<&AgentSpec::mac, AgentSpec>("mac", "made up", "Address of its VF."),
    yaml::choice<&AgentSpec::out, AgentSpec>("out", kOutputs, "pcapng",
                                             "Its file: pcapng, a folder of RAW files, or nothing but counters."),
    yaml::integer<&AgentSpec::snaplen, AgentSpec>("snaplen", 0, 65535, "0", "Bytes kept of each frame; 0: all."),
    yaml::text<&AgentSpec::ring, AgentSpec>("ring", "vigia-capture's", "Size of its capture ring, as \"256M\"."),
    yaml::text<&AgentSpec::dedup, AgentSpec>(
        "dedup", "off", "Leave out frames that repeat a recent one: on, or \"window=200ms,keep=mark\"."),
    yaml::integer<&AgentSpec::queues, AgentSpec>("queues", 1, 4, "1", "Receive queues, 1, 2 or 4: an engine for each."),
    yaml::boolean<&AgentSpec::poll, AgentSpec>("poll", "false",
                                               "Poll the receive ring without ever sleeping: a core of its own."),
};

template <class T, std::size_t N>
void read(yaml::Map& map, const std::array<Option<T>, N>& options, T& out) {
  yaml::read_options(map, std::span<const Option<T>>(options), out);
}
template <class T, std::size_t N>
std::string explain(const std::array<Option<T>, N>& options, std::string_view indent) {
  return yaml::explain_options(std::span<const Option<T>>(options), indent);
}

void read_traffic(yaml::Map& lab, TrafficSpec& out) {
  lab.require("traffic", "{file: ..} or {gen: {..}}");
  auto map = lab.map("traffic");
  if (!map) return;
  read(*map, kTraffic, out);
  if (auto gen = map->map("gen")) {
    read(*gen, kGen, out.gen.emplace());
    gen->finish();
  }
  map->finish();
}

AgentSpec read_agent(yaml::Map map) {
  AgentSpec agent;
  agent.path = map.path();
  read(map, kAgent, agent);
  if (auto tap = map.map("tap")) agent.tap = read_tap(*tap);
  map.finish();
  return agent;
}

LabSpec read_lab(yaml::Document& document, const std::filesystem::path& file) {
  LabSpec spec;
  spec.file = file;
  yaml::Map root = document.root();
  root.require("lab", "a mapping; see vigia explain lab");
  if (auto lab = root.map("lab")) {
    read(*lab, kLab, spec);
    read_traffic(*lab, spec.traffic);
    if (const auto tenants = lab->maps("tenants")) {
      for (yaml::Map map : *tenants) {
        TenantSpec& tenant = spec.tenants.emplace_back();
        tenant.path = map.path();
        read(map, kTenant, tenant);
        map.finish();
      }
    }
    if (const auto agent = lab->map("agent")) spec.agents.push_back(read_agent(*agent));
    if (const auto agents = lab->maps("agents")) {
      if (lab->has("agent")) document.report("lab.agents", "agent is given too; put all of them under agents");
      for (const yaml::Map& map : *agents) spec.agents.push_back(read_agent(map));
    }
    lab->finish();
  }
  root.finish();
  return spec;
}

Result<LabSpec> checked(yaml::Document& document, const std::filesystem::path& file) {
  LabSpec spec = read_lab(document, file);
  make_up_addresses(spec);
  for (const Violation& v : violations(spec)) document.report(v.path, v.text);
  if (auto verdict = document.verdict(); !verdict) return verdict.error();
  return spec;
}

}  // namespace

std::filesystem::path LabSpec::resolve(const std::string& path) const {
  const auto beside = file.parent_path() / path;
  return std::filesystem::exists(beside) || !std::filesystem::exists(path) ? beside.lexically_normal()
                                                                           : std::filesystem::path(path);
}

Result<LabSpec> parse_lab(std::string_view text, const std::filesystem::path& file) {
  auto document = yaml::Document::parse(text, file.string());
  return document ? checked(*document, file) : document.error();
}

Result<LabSpec> load_lab(const std::filesystem::path& file) {
  auto document = yaml::Document::load(file);
  return document ? checked(*document, file) : document.error();
}

bool LabSpec::shares_out_generated() const {
  return traffic.gen &&
         std::any_of(tenants.begin(), tenants.end(), [](const TenantSpec& t) { return !t.match.empty(); });
}

std::string explain_lab() {
  return "lab:\n" + explain(kLab, "  ") + "  traffic:\n" + explain(kTraffic, "    ") +
         "    gen:               instead of file: made-up UDP traffic, to the first tenant\n" +
         explain(kGen, "      ") + "  tenants:             a list of\n" + explain(kTenant, "    ") +
         "  agent:               or agents: a list of\n" + explain(kAgent, "    ") +
         "    tap:               one of tenants, port, vlan\n" + explain_tap("      ") +
         "\n"
         "Each frame of the file goes to the first tenant whose match accepts it: its destination address becomes the\n"
         "tenant's, everything else stays. Frames that no tenant matches go to an address that nobody owns; the "
         "ledger\n"
         "shows where they ended. Generated traffic is shared out in the same way, flow by flow, if a tenant has a "
         "match\n"
         "(UDP from 10.0.0.0/8 to 198.18.0.1 port 9; its numbering then begins anew with each round of the flows).\n"
         "Without any match all of it goes to the first tenant, and without tenants to nobody's address, where an\n"
         "agent with \"tap: {port: true}\" sees it.\n";
}

}  // namespace vigia::orch
