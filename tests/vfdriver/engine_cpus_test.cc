// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/engine_cpus.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/run_dir.h"

namespace vigia::vf {
namespace {

using Cpus = std::vector<unsigned>;

TEST(EngineCpus, Choice) {
  const CpuCore zero{{0, 4}}, one{{1, 5}}, two{{2, 6}}, three{{3, 7}};
  const CpuCore far{{8}, false}, isolated{{9}, true, true}, far_isolated{{10}, false, true};
  struct Case {
    const char* what;
    std::vector<CpuCore> cores;
    unsigned engines;
    Cpus taken, cpus;
    const char* says;
  };
  const Case cases[] = {
      {"one CPU: it is everybody's", {{{0}}}, 1, {}, {}, "1 of 1 are free"},
      {"two cores, one engine: not where the kernel works", {zero, one}, 1, {}, {1}, "CPU 1: a physical core"},
      {"two cores, two engines: nobody could read", {zero, one}, 2, {}, {}, "want 3 cores, 2 of 2 are free"},
      {"siblings are left alone", {zero, one, two, three}, 3, {}, {1, 2, 3}, "CPU 1,2,3"},
      {"near cores before far ones", {far, zero, one}, 1, {}, {1}, "CPU 1"},
      {"CPU 0 near before any far one", {far, zero, {{11}, false}}, 1, {}, {0}, "CPU 0"},
      {"isolated cores first", {one, isolated, two}, 1, {}, {9}, "isolated"},
      {"near before isolated", {one, far_isolated, two}, 1, {}, {1}, "CPU 1"},
      {"too few near ones: said", {far, one, {{12}, false}}, 2, {}, {1, 8}, "not all next to the device"},
      {"a core of another capture is no core", {zero, one, two}, 1, {6}, {1}, "CPU 1"},
      {"all the others' cores", {zero, one, two}, 1, {1, 2}, {}, "1 of 3 are free"},
  };
  for (const Case& c : cases) {
    const EngineCpus got = choose_cpus(c.cores, c.engines, c.taken);
    EXPECT_EQ(got.cpus, c.cpus) << c.what;
    EXPECT_NE(got.why.find(c.says), std::string::npos) << c.what << ": " << got.why;
  }
}

TEST(EngineCpus, Wishes) {
  EXPECT_TRUE(parse_cpu_wish("auto")->choose);
  EXPECT_FALSE(parse_cpu_wish("none")->choose);
  EXPECT_EQ(parse_cpu_wish("none")->cpus, Cpus{});
  EXPECT_EQ(parse_cpu_wish("3,1")->cpus, (Cpus{3, 1})) << "an assignment, not a set";
  EXPECT_EQ(parse_cpu_wish("4-6,1")->cpus, (Cpus{4, 5, 6, 1}));
  for (const char* text : {"", "a", "1,", "1,,2", "-1", "4096", "2-1"}) {
    const auto wish = parse_cpu_wish(text);
    ASSERT_FALSE(wish) << text;
    EXPECT_EQ(wish.error().exit_status(), 2);
  }
}

TEST(EngineCpus, WhichFunctionASpecMeans) {
  const std::pair<const char*, const char*> cases[] = {{"vfio:0000:01:10.0", "0000:01:10.0"},
                                                       {"uio:01:10.0", "01:10.0"},
                                                       {"vfio-user:/run/vf0.sock", ""},
                                                       {"file:a.pcap,rate=max", ""},
                                                       {"packet:lo", ""},
                                                       {"xdp:no-such-interface@1", ""},
                                                       {"packet:../../..", ""},
                                                       {"", ""}};
  for (const auto& [spec, address] : cases) EXPECT_EQ(pci_address_of(spec), address) << spec;
}

TEST(EngineCpus, ThisMachinesCoresAreThoseWeMayUse) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  const auto cores = cores_for("");
  ASSERT_TRUE(cores) << cores.error().text;
  int cpus = 0;
  for (const CpuCore& core : *cores) {
    EXPECT_TRUE(core.near);
    for (const unsigned cpu : core.cpus) EXPECT_TRUE(CPU_ISSET(cpu, &allowed)) << cpu;
    cpus += static_cast<int>(core.cpus.size());
  }
  EXPECT_EQ(cpus, CPU_COUNT(&allowed));
  EXPECT_TRUE(cores_for("ffff:ff:1f.7")) << "a function that hwloc does not know has no place";
}

TEST(EngineCpus, ClaimsAreSeenByOthersUntilTheyEnd) {
  const TempDir dir;
  EXPECT_EQ(CpuClaims::taken({{{0}}}), Cpus{}) << "no run directory, no claims";
  ASSERT_TRUE(make_run_dir());
  const std::vector<CpuCore> cores{{{0}}, {{1, 3}}};
  {
    CpuClaims claims;
    claims.claim({3});
    EXPECT_EQ(CpuClaims::taken(cores), Cpus{3});
    CpuClaims second;
    second.claim({3});  // no harm
  }
  EXPECT_EQ(CpuClaims::taken(cores), Cpus{});
}

TEST(EngineCpus, PinsTheCallingThreadAlone) {
  const auto cores = cores_for("");
  ASSERT_TRUE(cores);
  const unsigned cpu = cores->front().cpus.front();
  std::thread([&] {
    ASSERT_TRUE(pin_this_thread(cpu));
    EXPECT_EQ(static_cast<unsigned>(::sched_getcpu()), cpu);
  }).join();
  std::thread([] {
    const auto wrong = pin_this_thread(1023);
    ASSERT_FALSE(wrong);
    EXPECT_NE(wrong.error().text.find("CPU 1023"), std::string::npos);
  }).join();
}

}  // namespace
}  // namespace vigia::vf
