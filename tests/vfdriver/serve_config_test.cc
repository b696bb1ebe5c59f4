// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/serve.h"

namespace vigia::vf {
namespace {

using ::testing::HasSubstr;

std::string fault(std::string_view json) {
  const auto config = parse_serve_config(json, "c.json");
  if (config) return "accepted";
  EXPECT_EQ(config.error().exit_status(), 2);
  return config.error().text;
}

TEST(ServeConfig, ANameIsEnough) {
  const auto config = parse_serve_config("{\"name\": \"p1\"}", "c.json");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->ring.data_bytes, 64u << 20);
  EXPECT_EQ(config->ring.segment_bytes, 64u << 20);
  EXPECT_EQ(config->snaplen, kMaxCaptured);
  EXPECT_EQ(config->policy, ListenerKind::overwritable);
  EXPECT_EQ(config->mtu, 1500u);
  EXPECT_EQ(config->storage_mode, "");
  EXPECT_EQ(config->clock.policy, ClockPolicy::hybrid);
  EXPECT_FALSE(config->duplicates);
  EXPECT_EQ(config->rotate.count(), 0);
}

TEST(ServeConfig, EveryKey) {
  const auto config = parse_serve_config(
      R"({"role": "probe", "name": "p1", "mac": "02:00:00:00:00:03", "port_vlan": 7, "mtu": 9000, "hugepages": 16,
          "storage": {"mode": "virtio"}, "capture": {"ring": "8M", "snaplen": 96, "policy": "lossless",
          "max_file": 4194304, "quota": "8M", "rotate": "90s", "clock": "kpt,reference=/dev/ptp0", "dedup": "window=1s,keep=mark",
          "mirror_rules": "/run/m.json", "mirror_agent": 3}})",
      "c.json");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->ring.data_bytes, 8u << 20);
  EXPECT_EQ(config->ring.segment_bytes, 4u << 20);
  EXPECT_EQ(config->quota, 8u << 20);
  EXPECT_EQ(config->rotate, std::chrono::seconds(90));
  EXPECT_EQ(config->duplicates, (DuplicateOptions{.window = std::chrono::seconds(1), .keep = true}));
  EXPECT_EQ(config->mirror_rules, "/run/m.json");
  EXPECT_EQ(config->mirror_agent, 3u);
  EXPECT_EQ(config->snaplen, 96u);
  EXPECT_EQ(config->policy, ListenerKind::lossless);
  EXPECT_EQ(config->mtu, 9000u);
  EXPECT_EQ(config->storage_mode, "virtio");
  EXPECT_EQ(config->clock.policy, ClockPolicy::kpt);
  EXPECT_EQ(config->clock.reference, "/dev/ptp0");
}

TEST(ServeConfig, FaultsNameFileAndKey) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "c.json: not a JSON object"},
      {"[]", "c.json: not a JSON object"},
      {"{\"name\": \"p1\"", "not a JSON object"},
      {std::string(100'000, '['), "not a JSON object"},
      {"{}", "c.json: name: required"},
      {R"({"name": 1})", "c.json: name: want a text in quotes"},
      {R"({"name": "a/b"})", "c.json: name: "},
      {R"({"name": ""})", "c.json: name: "},
      {R"({"name": "a", "capture": {"clock": "ktp"}})", "clock: clock \"ktp\": no policy is called \"ktp\""},
      {R"({"name": "a", "role": "tenant"})", "role: this service is a probe's"},
      {R"({"name": "a", "nam": 1})", "nam: unknown key; did you mean name?"},
      {"{\"name\": \"a\", \"\\u001b[2J\": 1}", "c.json: \\u001b[2J: unknown key"},
      {R"({"name": "a", "capture": {"policy": "losless"}})",
       "c.json: capture.policy: \"losless\" is none of: overwritable, lossless; did you mean lossless?"},
      {R"({"name": "a", "capture": {"policy": "kpt"}})", "\"kpt\" is none of: overwritable, lossless"},
      {R"({"name": "a", "capture": {"rink": "8M"}})", "capture.rink: unknown key; did you mean ring?"},
      {R"({"name": "a", "capture": {"ring": "8Q"}})", "capture.ring: "},
      {R"({"name": "a", "capture": {"ring": -1}})", "capture.ring: "},
      {R"({"name": "a", "capture": {"ring": "3M"}})", "capture.ring: "},
      {R"({"name": "a", "capture": {"ring": "8388609"}})", "capture.ring: "},
      {R"({"name": "a", "capture": {"ring": "9000000T"}})", "capture.ring: "},
      {R"({"name": "a", "capture": {"snaplen": 65536}})", "capture.snaplen: want a whole number from 0 to"},
      {R"({"name": "a", "capture": {"snaplen": 1.5}})", "capture.snaplen: want"},
      {R"({"name": "a", "capture": {"max_file": "1000"}})", "capture.ring: "},
      {R"({"name": "a", "capture": {"quota": "100M"}})", "capture.quota: must hold at least two files"},
      {R"({"name": "a", "capture": {"dedup": "bytes=8"}})", "capture.dedup: \"bytes=8\": want bytes=16 to"},
      {R"({"name": "a", "capture": {"dedup": "on", "mirror_rules": "m.json"}})",
       "capture.mirror_rules: want a path from the root"},
      {R"({"name": "a", "capture": {"dedup": "on", "mirror_rules": 1}})", "capture.mirror_rules: want a text"},
      {R"({"name": "a", "capture": {"mirror_rules": "/m.json"}})", "capture.mirror_rules: needs dedup"},
      {R"({"name": "a", "capture": {"dedup": "on", "mirror_agent": 1}})", "capture.mirror_agent: needs mirror_rules"},
      {R"({"name": "a", "capture": {"mirror_agent": -1}})",
       "capture.mirror_agent: want a whole number from 0 to 65535"},
      {R"({"name": "a", "capture": {"rotate": "soon"}})", "capture.rotate: "},
      {R"({"name": "a", "capture": {"rotate": "0s"}})", "capture.rotate: "},
      {R"({"name": "a", "capture": {"rotate": 60}})", "capture.rotate: want a text in quotes"},
      {R"({"name": "a", "capture": {"queues": 2}})", "capture.queues: a probe captures on one queue"},
      {R"({"name": "a", "capture": {"queues": 0}})", "capture.queues: want a whole number from 1 to 4"},
      {R"({"name": "a", "capture": []})", "capture: want an object in braces"},
      {R"({"name": "a", "storage": {"mode": "nfs"}})", "storage.mode: \"nfs\" is none of: virtio, passthrough, none"},
      {R"({"name": "a", "storage": {"mode": "non"}})", "did you mean none?"},
      {R"({"name": "a", "mac": "02:00"})", "mac: want six hex pairs"},
      {R"({"name": "a", "mtu": 67})", "mtu: want a whole number from 68 to 9710"},
      {R"({"name": "a", "mtu": 9711})", "mtu: want"},
      {R"({"name": "a", "port_vlan": 4096})", "port_vlan: want"},
      {R"({"name": "a", "hugepages": "many"})", "hugepages: want a whole number"}};
  for (const auto& [json, says] : cases) EXPECT_THAT(fault(json), HasSubstr(says)) << json.substr(0, 200);
  const std::string all = fault(R"({"mtu": 1, "capture": {"snaplen": -1, "x": 1}, "storage": {"mode": 5}})");
  for (const char* key : {"name", "mtu", "capture.snaplen", "capture.x", "storage.mode"}) {
    EXPECT_THAT(all, HasSubstr(std::string("c.json: ") + key + ": ")) << "every fault is listed";
  }
}

TEST(ServeConfig, TheFirstVfOfAKindThatWeDrive) {
  TempDir dir;
  const auto add = [&](const std::string& driver, const std::string& address, const char* device) {
    const auto folder = dir / ("sys/bus/pci/drivers/" + driver + "/" + address);
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "vendor") << "0x8086\n";
    std::ofstream(folder / "device") << device << "\n";
  };
  EXPECT_THAT(find_bound_vf(dir / "sys").error().text, HasSubstr("none that this program drives"));
  const auto held = dir / "sys/bus/pci/devices/0000:03:00.0";
  std::filesystem::create_directories(held);
  std::ofstream(held / "vendor") << "0x1af4\n";
  std::ofstream(held / "device") << "0x1041\n";
  std::filesystem::create_symlink("../../drivers/virtio-pci", held / "driver");
  EXPECT_THAT(find_bound_vf(dir / "sys").error().text, HasSubstr("0000:03:00.0 could be, and is held by virtio-pci"));
  add("uio_pci_generic", "0000:02:00.0", "0x10ed");
  EXPECT_EQ(*find_bound_vf(dir / "sys"), "uio:0000:02:00.0");
  add("vfio-pci", "0000:01:10.0", "0x10fb");  // a PF
  EXPECT_EQ(*find_bound_vf(dir / "sys"), "uio:0000:02:00.0");
  add("vfio-pci", "0000:01:10.4", "0x10ed");
  add("vfio-pci", "0000:01:10.2", "0x10ed");
  add("vfio-pci", "module", "0x10ed");  // not a function
  EXPECT_EQ(*find_bound_vf(dir / "sys"), "vfio:0000:01:10.2");
}

}  // namespace
}  // namespace vigia::vf
