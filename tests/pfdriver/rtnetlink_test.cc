// SPDX-License-Identifier: Apache-2.0
// What Linux 6.1's igb told of three VFs, byte for byte, and every way to cut it off.
#include "pfdriver/kernel/rtnetlink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <memory>

namespace vigia::pf {
namespace {

std::vector<char> recorded() {
  std::ifstream in(VIGIA_SOURCE "/tests/data/rtnetlink_igb_3_vfs.hex");
  std::string text;
  in >> text;
  std::vector<char> out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return out;
}

TEST(RtNetlink, ReadsWhatIgbTellsOfItsVfs) {
  const auto bytes = recorded();
  const auto link = parse_link(bytes.data(), bytes.size());
  ASSERT_TRUE(link);
  EXPECT_EQ(link->name, "eth0");
  EXPECT_TRUE(link->up && link->carrier);
  EXPECT_EQ(link->mtu, 1500u);
  const auto mac = [](const char* text) { return *hw::Mac::parse(text); };
  EXPECT_THAT(link->vfs,
              testing::ElementsAre(VfFacts{mac("02:00:00:00:00:01"), 0, false, false, 0u, VfLink::automatic},
                                   VfFacts{mac("02:00:00:00:00:02"), 100, true, false, 250u, VfLink::automatic},
                                   VfFacts{mac("02:00:00:00:00:03"), 0, true, true, 0u, VfLink::automatic}));
}

TEST(RtNetlink, CutOffOrBrokenMessagesMakeNoSenseAndDoNoHarm) {
  const auto bytes = recorded();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    // A block of its own, so that a read beyond it is seen.
    const std::unique_ptr<char[]> cut(new char[size]);
    std::memcpy(cut.get(), bytes.data(), size);
    EXPECT_FALSE(parse_link(cut.get(), size)) << "its header says more";
    if (size < 16) continue;
    const auto length = static_cast<std::uint32_t>(size);
    std::memcpy(cut.get(), &length, sizeof length);
    (void)parse_link(cut.get(), size);
  }
  for (std::size_t at = 32; at < bytes.size(); ++at) {
    auto broken = bytes;
    broken[at] = static_cast<char>(~broken[at]);
    (void)parse_link(broken.data(), broken.size());
  }
}

}  // namespace
}  // namespace vigia::pf
