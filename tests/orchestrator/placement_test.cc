// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>

#include "host_samples.h"

namespace vigia::orch {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string refusals(const PlacementResult& result) {
  std::string out;
  for (const Refusal& refusal : result.refusals) out += refusal.text() + "\n";
  return result.placement ? "accepted" : out;
}
std::string why(const Placement& placement) {
  std::string out;
  for (const std::string& line : placement.why) out += line + "\n";
  return out;
}

TEST(Placement, TooFewPagesNamesTheCommandThatHelps) {
  Inventory host = make_host(2, 4);
  add_nic(host, 1, 4);
  VmSpec spec = probe_spec();
  spec.affinity = Affinity::required;
  spec.hugepages.size = PageSize::g1;
  spec.memory = 4 * k1G;
  host.nodes[1].huge[k1G] = {3, 3};
  EXPECT_EQ(refusals(place(host, spec, {})),
            "node 1 has 3 free 1 GiB pages, 4 needed: `vigia host hugepages --node 1 --size 1G --count 4`\n");
  host.nodes[1].huge[k1G] = {10, 1};  // nine are in use: the pool has to grow by three
  EXPECT_THAT(refusals(place(host, spec, {})), HasSubstr("--count 13`"));
  host.nodes[1].huge.erase(k1G);
  EXPECT_THAT(refusals(place(host, spec, {})), HasSubstr("node 1 has 0 free 1 GiB pages, 4 needed"));
  host.nodes[1].huge[k1G] = {4, 4};
  EXPECT_EQ(refusals(place(host, spec, {})), "accepted");
}

struct RefusalCase {
  const char* what;
  std::function<void(Inventory&, VmSpec&, std::vector<PlacedDomain>&)> change;
  const char* words;
};

TEST(Placement, Refuses) {
  const RefusalCase cases[] = {
      {"unknown NIC", [](auto&, auto& s, auto&) { s.network.pf = "eth9"; },
       "this host has no NIC eth9: it has 0000:3b:00.0 (ens5f0)"},
      {"no IOMMU", [](auto& h, auto&, auto&) { h.iommu = false; }, "boot with intel_iommu=on"},
      {"no VFs", [](auto& h, auto&, auto&) { h.nics[0].vfs.clear(); }, "0000:3b:00.0 has no VFs: raise vfs"},
      {"VF beyond", [](auto&, auto& s, auto&) { s.network.vf = 4; }, "has no VF 4: it has 0-3"},
      {"VF taken",
       [](auto&, auto& s, auto& r) {
         s.network.vf = 2;
         r.push_back(running_vm("web", {3}, 2));
       },
       "VF 2 of 0000:3b:00.0 belongs to web"},
      {"all taken",
       [](auto&, auto&, auto& r) {
         for (unsigned i = 0; i < 4; ++i) r.push_back(running_vm("t" + std::to_string(i), {}, i));
       },
       "none of the 4 VFs"},
      {"PF with VFs", [](auto&, auto& s, auto&) { s.network.mode = NetworkMode::pf; }, "cannot be given away whole"},
      {"a VF as PF",
       [](auto& h, auto& s, auto&) {
         NetDevice vf;
         vf.pci = "0000:3b:10.0";
         vf.pf = "0000:3b:00.0";
         h.nics.push_back(vf);
         s.network.pf = vf.pci;
       },
       "is a VF: say pf: \"0000:3b:00.0\""},
      {"no such node", [](auto&, auto& s, auto&) { s.numa = 7; }, "this host has no node 7"},
      {"required elsewhere",
       [](auto&, auto& s, auto&) {
         s.numa = 0;
         s.affinity = Affinity::required;
       },
       "numa: 0 is not the NIC's node, 1"},
      {"NIC without node",
       [](auto& h, auto& s, auto&) {
         h.nics[0].node.reset();
         s.affinity = Affinity::required;
       },
       "does not say which node"},
      {"more vCPUs than CPUs", [](auto&, auto& s, auto&) { s.vcpus = 9; }, "fewer online CPUs than the VM's 9 vCPUs"},
      {"legacy, CPUs offline",
       [](auto& h, auto& s, auto&) {
         for (auto& c : h.cpus) c.online = c.node == 0;
         s.affinity = Affinity::legacy;
       },
       "node 1 has fewer online CPUs"},
      {"required, cores busy",
       [](auto&, auto& s, auto& r) {
         s.affinity = Affinity::required;
         r.push_back(running_vm("web", {4, 5, 6}));
       },
       "node 1 has no cores free for 2 vCPUs"},
      {"same name", [](auto&, auto&, auto& r) { r.push_back(running_vm("probe1", {})); }, "probe1 runs already"},
      {"normal pages",
       [](auto& h, auto& s, auto&) {
         s.hugepages.size = PageSize::none;
         h.memory_available = k1G - 1;
       },
       "of free memory"},
      {"no softnic",
       [](auto&, auto& s, auto&) {
         s.network.mode = NetworkMode::softnic;
         s.network.pf = "/run/x";
       },
       "no software NIC has its sockets in /run/x"},
      {"no controller",
       [](auto&, auto& s, auto&) {
         s.storage = {StorageMode::passthrough, "0000:5e:00.0", 0};
       },
       "no disk of this host is on a controller"},
  };
  for (const RefusalCase& c : cases) {
    Inventory host = make_host(2, 4);
    add_nic(host, 1, 4);
    VmSpec spec = probe_spec();
    std::vector<PlacedDomain> running;
    c.change(host, spec, running);
    EXPECT_THAT(refusals(place(host, spec, running)), HasSubstr(c.words)) << c.what;
  }
}

TEST(Placement, EverythingOnTheNicsNode) {
  Inventory host = make_host(4, 4);
  add_nic(host, 2, 4);
  VmSpec spec = probe_spec();
  spec.vcpus = 3;
  const auto result = place(host, spec, {});
  ASSERT_TRUE(result.placement) << refusals(result);
  const Placement& p = *result.placement;
  EXPECT_EQ(p.node, 2u);
  EXPECT_THAT(p.vcpu_cpus, ElementsAre(8, 9, 10));  // first threads of three cores, siblings 24..26 left free
  EXPECT_THAT(p.emulator_cpus, ElementsAre(11, 27));
  EXPECT_EQ(p.pages, 512u);
  EXPECT_EQ(p.vf, 0u);
  EXPECT_EQ(p.pci, "0000:3b:10.0");
  EXPECT_EQ(p.accelerator, Accelerator::kvm);
  EXPECT_FALSE(p.shares_cores);
  EXPECT_THAT(p.why, Contains("node 2: that of the NIC 0000:3b:00.0"));
}

TEST(Placement, EmulatesWhenToldTo) {
  Inventory host = make_host(1, 4);
  add_nic(host, 0, 1);
  VmSpec spec = probe_spec();
  spec.acceleration = Acceleration::tcg;
  EXPECT_EQ(place(host, spec, {}).placement->accelerator, Accelerator::tcg);
}

TEST(Placement, IsolatedCoresAreForVcpusAndTheOthersForTheEmulator) {
  Inventory host = make_host(1, 4);
  add_nic(host, 0, 1);
  for (const unsigned id : {2u, 3u, 6u, 7u}) host.cpus[id].isolated = true;
  const auto result = place(host, probe_spec(), {});
  ASSERT_TRUE(result.placement);
  EXPECT_THAT(result.placement->vcpu_cpus, ElementsAre(2, 3));
  EXPECT_THAT(result.placement->emulator_cpus, ElementsAre(0, 1, 4, 5));
}

TEST(Placement, TheBootCoreIsTakenLast) {
  Inventory host = make_host(1, 3, 1);
  add_nic(host, 0, 1);
  const auto result = place(host, probe_spec(), {});
  ASSERT_TRUE(result.placement);
  EXPECT_THAT(result.placement->vcpu_cpus, ElementsAre(1, 2));
  EXPECT_THAT(result.placement->emulator_cpus, ElementsAre(0));
}

TEST(Placement, AnAgentGoesWhereTheMirroredTenantsAreNot) {
  Inventory host = make_host(2, 4);
  add_nic(host, 0, 4);
  VmSpec spec = probe_spec();
  spec.kind = VmKind::vnma;
  spec.tap = TapSpec{{"web"}, false, {}, TapDirection::rx, false};
  std::vector<PlacedDomain> running{running_vm("web", {1}, 0)};
  auto result = place(host, spec, running);
  ASSERT_TRUE(result.placement);
  EXPECT_EQ(result.placement->node, 1u);
  EXPECT_EQ(result.placement->vf, 1u);
  EXPECT_THAT(why(*result.placement), HasSubstr("node 1: not that of the NIC (0), which is for the mirrored tenants"));
  running[0].node = 1;
  result = place(host, spec, running);
  EXPECT_THAT(why(*result.placement), HasSubstr("tenant web is on node 1, the NIC on node 0"));
  spec.affinity = Affinity::required;
  result = place(host, spec, running);
  ASSERT_TRUE(result.placement) << refusals(result);
  EXPECT_EQ(result.placement->node, 0u);
}

TEST(Placement, PoliciesWhenTheNicsNodeIsFull) {
  Inventory host = make_host(2, 3, 1);
  add_nic(host, 0, 4);
  VmSpec spec = probe_spec();
  const std::vector<PlacedDomain> running{running_vm("web", {0, 1}, 0)};
  spec.affinity = Affinity::preferred;
  auto result = place(host, spec, running);
  ASSERT_TRUE(result.placement);
  EXPECT_EQ(result.placement->node, 1u);
  EXPECT_THAT(why(*result.placement), HasSubstr("node 1 is not the NIC's, 0: expect loss"));
  spec.affinity = Affinity::legacy;
  result = place(host, spec, running);
  ASSERT_TRUE(result.placement);
  EXPECT_EQ(result.placement->node, 0u);
  EXPECT_TRUE(result.placement->shares_cores);
  spec.affinity = Affinity::required;
  EXPECT_THAT(refusals(place(host, spec, running)), HasSubstr("no cores free"));
}

TEST(Placement, RefusalsNameCommandsThatExist) {
  Inventory host = make_host(1, 8, 1);
  add_nic(host, 0, 1);
  VmSpec spec = probe_spec();
  spec.network.vf = 0;
  const struct {
    const char *kind, *command;
  } rows[] = {
      {"tenant", "`vigia tenant down web`"}, {"vnp", "`vigia probe down web`"}, {"vnma", "`vigia agent down web`"}};
  for (const auto& [kind, command] : rows) {
    PlacedDomain other = running_vm("web", {0}, 0);
    other.kind = kind;
    EXPECT_THAT(refusals(place(host, spec, std::vector<PlacedDomain>{other})), HasSubstr(command));
    spec.name = "web";
    EXPECT_THAT(refusals(place(host, spec, std::vector<PlacedDomain>{other})), HasSubstr(command));
    spec.name = "probe1";
  }
}

TEST(Placement, ATinyMachineIsSaidNotRefused) {
  Inventory host = make_host(1, 2, 1);
  host.kvm = false;
  host.softnics.push_back({"/run/nic", {0, 1}});
  VmSpec spec = probe_spec();
  spec.network.mode = NetworkMode::softnic;
  spec.network.pf = "/run/nic";
  auto result = place(host, spec, {});
  ASSERT_TRUE(result.placement) << refusals(result);
  EXPECT_TRUE(result.placement->shares_cores);
  EXPECT_THAT(why(*result.placement), HasSubstr("emulator threads share CPU 1 with vCPU 0"));
  EXPECT_THAT(why(*result.placement), HasSubstr("TCG, software emulation"));
  spec.vcpus = 1;
  result = place(host, spec, {});
  EXPECT_FALSE(result.placement->shares_cores);
  EXPECT_THAT(result.placement->emulator_cpus, ElementsAre(0));
  spec.vcpus = 2;
  spec.affinity = Affinity::required;
  EXPECT_THAT(refusals(place(host, spec, {})), HasSubstr("lower vm.vcpus"));
}

// Whatever the host and the wish: pins are online CPUs of one node, no two vCPUs on one core unless that is said, never
// more pages than are free, and either a placement or a reason.
TEST(Placement, HoldsForRandomHosts) {
  std::mt19937 random(5);
  const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
  unsigned placed = 0;
  for (int round = 0; round < 5000; ++round) {
    Inventory host = make_host(1 + below(4), 1 + below(6), 1 + below(2));
    for (Cpu& cpu : host.cpus) {
      cpu.online = below(5) != 0;
      cpu.isolated = below(3) == 0;
    }
    for (NumaNode& node : host.nodes) node.huge[k2M] = {2048, below(1200)};
    add_nic(host, below(3) == 0 ? std::nullopt : std::optional(below(static_cast<unsigned>(host.nodes.size()))),
            1 + below(4));
    VmSpec spec = probe_spec();
    spec.vcpus = 1 + below(6);
    spec.affinity = static_cast<Affinity>(below(3));
    spec.hugepages.size = below(2) == 0 ? PageSize::none : PageSize::m2;
    if (below(4) == 0) spec.numa = below(4);
    std::vector<PlacedDomain> running;
    for (unsigned i = 0; i < below(4); ++i)
      running.push_back(running_vm(fmt::format("t{}", i), {below(24), below(24)}, i));
    const auto result = place(host, spec, running);
    ASSERT_NE(result.placement.has_value(), !result.refusals.empty());
    if (!result.placement) continue;
    ++placed;
    const Placement& p = *result.placement;
    ASSERT_EQ(p.vcpu_cpus.size(), spec.vcpus);
    std::set<unsigned> cpus, cores;
    for (const unsigned id : p.vcpu_cpus) {
      const Cpu* cpu = host.cpu(id);
      ASSERT_TRUE(cpu != nullptr && cpu->online && cpu->node == p.node);
      ASSERT_TRUE(cpus.insert(id).second);
      if (!cores.insert(cpu->siblings.front()).second) {
        ASSERT_TRUE(p.shares_cores);
      }
    }
    ASSERT_FALSE(p.emulator_cpus.empty());
    for (const unsigned id : p.emulator_cpus) {
      ASSERT_TRUE(host.cpu(id)->online);
      if (cores.contains(host.cpu(id)->siblings.front())) {
        ASSERT_TRUE(p.shares_cores);
      }
    }
    for (const PlacedDomain& domain : running) {
      ASSERT_NE(domain.vf, p.vf);
      for (const unsigned id : domain.vcpu_cpus) {
        const Cpu* cpu = host.cpu(id);
        if (cpu != nullptr && cores.contains(cpu->siblings.front())) {
          ASSERT_TRUE(p.shares_cores);
        }
      }
    }
    if (p.shares_cores) {
      ASSERT_NE(spec.affinity, Affinity::required);
    }
    if (p.page_size != 0) {
      ASSERT_LE(p.pages, host.node(p.node)->huge.at(p.page_size).free);
      ASSERT_EQ(p.pages * p.page_size, spec.memory);
    }
    if (spec.numa) {
      ASSERT_EQ(p.node, *spec.numa);
    }
    if (spec.affinity == Affinity::required && p.nic_node) {
      ASSERT_EQ(p.node, *p.nic_node);
    }
  }
  EXPECT_GT(placed, 1000u);
}

}  // namespace
}  // namespace vigia::orch
