// SPDX-License-Identifier: Apache-2.0
#include "softnic/tx_pcap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/softnic/capture_file.h"

namespace vigia::softnic {
namespace {

using testing::HasSubstr;

std::vector<std::byte> frame(std::size_t bytes, unsigned fill) { return {bytes, static_cast<std::byte>(fill)}; }

TEST(TxPcap, RefusesOtherNames) {
  const CaptureDir dir;
  for (const char* name : {"out", "out.cap", "out.pcap.gz", "pcap"}) {
    auto file = TxPcap::create(dir.file(name));
    ASSERT_FALSE(file);
    EXPECT_THAT(file.error().text, HasSubstr("expected a name that ends in .pcapng or .pcap"));
    EXPECT_EQ(file.error().exit_status(), 2);
    EXPECT_FALSE(std::filesystem::exists(dir.file(name)));
  }
  auto file = TxPcap::create(dir.file("none/x.pcap"));
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().text, HasSubstr("none/x.pcap: No such file"));
}

TEST(TxPcap, BothFormatsReadBackToTheNanosecond) {
  const CaptureDir dir;
  for (const char* name : {"out.pcapng", "out.pcap"}) {
    SCOPED_TRACE(name);
    auto file = TxPcap::create(dir.file(name));
    ASSERT_TRUE(file) << file.error().text;
    constexpr std::uint64_t kStart = 1'700'000'000'123'456'789;
    for (unsigned i = 0; i < 5; ++i) (*file)->write(frame(60 + i, i), kStart + i);
    (*file)->write(frame(16'000, 9), kStart + 5);
    EXPECT_EQ((*file)->frames(), 6u);
    EXPECT_TRUE((*file)->close());
    EXPECT_TRUE((*file)->close()) << "twice is fine";
    (*file)->write(frame(60, 1), kStart);
    EXPECT_EQ((*file)->lost(), 1u) << "after close nothing is written, and counted";

    char text[PCAP_ERRBUF_SIZE];
    pcap_t* p = pcap_open_offline_with_tstamp_precision(dir.file(name).c_str(), PCAP_TSTAMP_PRECISION_NANO, text);
    ASSERT_NE(p, nullptr) << text;
    EXPECT_EQ(pcap_datalink(p), DLT_EN10MB);
    pcap_pkthdr* header;
    const u_char* data;
    for (unsigned i = 0; i < 6; ++i) {
      ASSERT_EQ(pcap_next_ex(p, &header, &data), 1) << pcap_geterr(p);
      EXPECT_EQ(header->len, i == 5 ? 16'000u : 60 + i);
      EXPECT_EQ(header->caplen, header->len);
      EXPECT_EQ(header->ts.tv_sec, 1'700'000'000);
      EXPECT_EQ(header->ts.tv_usec, 123'456'789 + i);
      EXPECT_EQ(data[header->len - 1], i == 5 ? 9 : i);
    }
    EXPECT_EQ(pcap_next_ex(p, &header, &data), PCAP_ERROR_BREAK);
    pcap_close(p);
  }
}

// /dev/full behind a name with the right suffix: every write that reaches it fails.
TEST(TxPcap, FullDiskIsSaidAndCounted) {
  const CaptureDir dir;
  for (const char* name : {"full.pcapng", "full.pcap"}) {
    SCOPED_TRACE(name);
    std::filesystem::create_symlink("/dev/full", dir.file(name));
    auto file = TxPcap::create(dir.file(name));
    ASSERT_TRUE(file);
    for (unsigned i = 0; i < 3000; ++i) (*file)->write(frame(1514, i), i);
    EXPECT_GT((*file)->lost(), 0u);
    EXPECT_EQ((*file)->frames() + (*file)->lost(), 3000u);
    const auto closed = (*file)->close();
    ASSERT_FALSE(closed);
    EXPECT_THAT(closed.error().text, HasSubstr("No space left on device"));
    EXPECT_THAT(closed.error().text, HasSubstr(name));
    EXPECT_EQ(closed.error().exit_status(), 1);
  }
}

TEST(TxPcap, FullDiskIsSeenAtTheEnd) {
  const CaptureDir dir;
  std::filesystem::create_symlink("/dev/full", dir.file("full.pcapng"));
  auto file = TxPcap::create(dir.file("full.pcapng"));
  ASSERT_TRUE(file);
  (*file)->write(frame(60, 1), 1);
  EXPECT_EQ((*file)->lost(), 0u);
  EXPECT_FALSE((*file)->close());
}

}  // namespace
}  // namespace vigia::softnic
