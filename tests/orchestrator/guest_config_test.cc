// SPDX-License-Identifier: Apache-2.0
// What the host writes for a guest, the guest's service takes: every spec that the host accepts.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orchestrator/vm_spec.h"
#include "vfdriver/serve.h"

namespace vigia::orch {
namespace {

using ::testing::HasSubstr;

VmSpec spec_of(const std::string& keys, const std::string& network = "{pf: \"0000:3b:00.0\"}") {
  const auto spec = parse_vm("vm:\n  name: p1\n  network: " + network + "\n" + keys, "vm.yaml");
  EXPECT_TRUE(spec) << keys << ": " << (spec ? "" : spec.error().text);
  return spec ? *spec : VmSpec{};
}

vf::ServeConfig serve_config(const VmSpec& spec) {
  const std::string json = guest_config(spec);
  const auto config = vf::parse_serve_config(json, "config.json");
  EXPECT_TRUE(config) << json << "\n" << (config ? "" : config.error().text);
  return config ? *config : vf::ServeConfig{};
}

TEST(GuestConfig, TheServiceTakesWhatTheHostWrites) {
  const std::string disk = "  storage: {path: /srv/p.img, size: 1G}\n", kind = "  kind: vnp\n";
  const std::string whole = "{pf: \"0000:3b:00.0\", vf: 3, vlan: 4094, mac: \"02:00:00:00:00:03\", trust: true}";
  const VmSpec specs[] = {
      spec_of(kind),
      spec_of(kind, whole),
      spec_of(kind, "{mode: softnic, pf: /tmp/d}"),
      spec_of(kind + disk),
      spec_of(kind + "  storage: {mode: passthrough, path: \"0000:04:00.0\"}\n"),
      spec_of(kind + "  hugepages: {size: none, guest: 0}\n  memory: 128M\n  capture: {ring: 4M}\n"),
      spec_of(kind + "  memory: 1T\n  hugepages: {guest: 1000}\n  capture: {ring: 512G, max_file: 64G, quota: 128G}\n"),
      spec_of(kind + disk +
              "  capture: {ring: 7M, snaplen: 1, policy: lossless, max_file: 2M, quota: 4M, rotate: 2h}\n"),
      spec_of(kind + disk +
              "  capture: {snaplen: 65535, policy: overwritable, max_file: 3M, quota: 1000T, rotate: 1500ms}\n"),
      spec_of("  kind: vnma\n  tap: {tenants: [web]}\n" + disk, whole)};
  for (const VmSpec& spec : specs) {
    const vf::ServeConfig config = serve_config(spec);
    EXPECT_EQ(config.name, "p1");
    EXPECT_EQ(config.role, "probe");
    EXPECT_EQ(config.ring.data_bytes, spec.capture.ring);
    EXPECT_EQ(config.ring.segment_bytes, spec.capture.max_file);
    EXPECT_EQ(config.quota, spec.capture.quota);
    EXPECT_EQ(config.rotate, spec.capture.rotate);
    EXPECT_EQ(config.snaplen, spec.capture.snaplen == 0 ? vf::kMaxCaptured : spec.capture.snaplen);
    EXPECT_EQ(config.policy == vf::ListenerKind::lossless, spec.capture.policy == StorePolicy::lossless);
    EXPECT_EQ(config.storage_mode, word(spec.storage.mode));
  }
}

TEST(GuestConfig, WhoLooksForDuplicatesIsToldTheMirrors) {
  EXPECT_EQ(serve_config(spec_of("  kind: vnp\n")).mirror_rules, "");
  const auto config = serve_config(spec_of("  kind: vnp\n  capture: {dedup: \"window=1s\"}\n"));
  EXPECT_TRUE(config.duplicates);
  EXPECT_EQ(config.mirror_rules, "/run/vigia/mirrors.json");
}

TEST(GuestConfig, EveryNameOfAVmIsTheNameOfACapture) {
  for (const std::string& name : {std::string(40, 'a'), std::string("a-b_c.d"), std::string("0")}) {
    VmSpec spec = spec_of("  kind: vnp\n");
    spec.name = name;
    if (!validate(spec).empty()) continue;  // not the name of a VM either
    EXPECT_EQ(serve_config(spec).name, name);
  }
}

TEST(GuestConfig, ARingThatTheServiceRefusesIsRefusedByTheHost) {
  const auto spec = parse_vm("vm: {name: p, kind: vnp, network: {pf: a}, capture: {ring: 3M}}", "vm.yaml");
  ASSERT_FALSE(spec);
  EXPECT_THAT(spec.error().text, HasSubstr("3M is not a size from 4M"));
}

TEST(GuestConfig, ATenantRunsNoCapture) {
  const VmSpec tenant =
      spec_of("  kind: tenant\n  guest: {address: 10.0.0.11/24, gateway: 10.0.0.1, mtu: 9000, vlan: 5, script: ls}\n");
  const auto config = vf::parse_serve_config(guest_config(tenant), "config.json");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().text, HasSubstr("role: this service is a probe's"));
}

}  // namespace
}  // namespace vigia::orch
