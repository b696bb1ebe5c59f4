// SPDX-License-Identifier: Apache-2.0
#include "softnic/wire_pcap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/softnic/capture_file.h"

namespace vigia::softnic {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};
constexpr Rate kOriginal{Rate::Kind::original, 1};

std::string frame(std::size_t bytes, char fill) { return std::string(bytes, fill); }

Error refused(const std::string& file, std::uint64_t limit = kNoLimit) {
  auto wire = open_pcap_wire({file, {}, 1}, limit);
  if (wire) return {std::errc::state_not_recoverable, "was opened"};
  return wire.error();
}

struct Got {
  std::string bytes;
  std::uint64_t departure;
};
std::vector<Got> drain(Wire& wire) {
  std::vector<Got> out;
  while (const WireFrame* f = wire.next()) {
    out.push_back({std::string(reinterpret_cast<const char*>(f->bytes.data()), f->bytes.size()), f->departure_ns});
  }
  return out;
}
std::vector<Got> replay(const std::string& file, Rate rate = kOriginal, std::uint64_t loop = 1) {
  auto wire = open_pcap_wire({file, rate, loop}, kNoLimit);
  EXPECT_TRUE(wire) << wire.error().text;
  return wire ? drain(**wire) : std::vector<Got>{};
}

TEST(PcapWire, RefusesWhatIsNoFile) {
  const CaptureDir dir;
  EXPECT_THAT(refused(dir.file("none")).text, AllOf(HasSubstr("none"), HasSubstr("No such file")));
  EXPECT_EQ(refused(dir.file("none")).exit_status(), 2);
  EXPECT_THAT(refused(dir.file("")).text, HasSubstr("not a regular file"));
  ASSERT_EQ(::mkfifo(dir.file("fifo").c_str(), 0600), 0);
  EXPECT_THAT(refused(dir.file("fifo")).text, HasSubstr("not a regular file"));
}

TEST(PcapWire, RefusesWhatIsNoCapture) {
  const CaptureDir dir;
  for (const std::string& bytes :
       {std::string("hello, this is a text file with words"), std::string(), std::string("\xd4\xc3", 2)}) {
    const Error e = refused(dir.write("x.pcap", bytes));
    EXPECT_THAT(e.text, AllOf(HasSubstr("x.pcap"), HasSubstr("expected a pcap or pcapng file")));
    EXPECT_EQ(e.exit_status(), 2);
  }
}

TEST(PcapWire, RefusesOtherLinkTypesByName) {
  const CaptureDir dir;
  const struct {
    std::uint32_t link;
    const char* name;
  } rows[] = {{113, "LINUX_SLL (Linux cooked v1)"},
              {12, "RAW (Raw IP)"},
              {228, "IPV4 (Raw IPv4)"},
              {0, "NULL (BSD loopback)"},
              {49'999, "unknown to libpcap"}};
  for (const auto& row : rows) {
    const Error e = refused(dir.write("x.pcap", pcap_header(kMicro, row.link) + pcap_record(1, 0, frame(60, 'a'))));
    EXPECT_THAT(e.text, HasSubstr(row.name));
    EXPECT_THAT(e.text, HasSubstr("accepted: EN10MB (Ethernet)"));
    EXPECT_EQ(e.exit_status(), 2);
  }
  const Error e =
      refused(dir.write("x.pcapng", pcapng_header() + pcapng_interface(113) + pcapng_record(0, 1, frame(60, 'a'))));
  EXPECT_THAT(e.text, HasSubstr("LINUX_SLL"));
  const Error mixed =
      refused(dir.write("y.pcapng", pcapng_header() + pcapng_interface(1) + pcapng_record(0, 1, frame(60, 'a')) +
                                        pcapng_interface(113) + pcapng_record(1, 2, frame(60, 'b'))));
  EXPECT_EQ(mixed.exit_status(), 2);
  EXPECT_THAT(mixed.text, HasSubstr("after 1 whole frames"));
}

TEST(PcapWire, RefusesCutFilesAndCountsWhatIsWhole) {
  const CaptureDir dir;
  const std::string three = pcap_header() + pcap_record(1, 0, frame(100, 'a')) + pcap_record(2, 0, frame(100, 'b')) +
                            pcap_record(3, 0, frame(100, 'c'));
  for (const std::size_t missing : {1u, 99u, 100u, 101u, 115u}) {
    const Error e = refused(dir.write("cut.pcap", three.substr(0, three.size() - missing)));
    EXPECT_THAT(e.text, AllOf(HasSubstr("cut.pcap"), HasSubstr("after 2 whole frames"), HasSubstr("tcpdump -r")));
    EXPECT_EQ(e.exit_status(), 2);
  }
  EXPECT_EQ(replay(dir.write("whole.pcap", three.substr(0, three.size() - 116))).size(), 2u) << "ends at a record";
  const std::string ng =
      pcapng_header() + pcapng_interface(1) + pcapng_record(0, 1, frame(60, 'a')) + pcapng_record(0, 2, frame(60, 'b'));
  EXPECT_THAT(refused(dir.write("cut.pcapng", ng.substr(0, ng.size() - 5))).text, HasSubstr("after 1 whole frames"));
}

TEST(PcapWire, RefusesEmptyCaptures) {
  const CaptureDir dir;
  EXPECT_THAT(refused(dir.write("x.pcap", pcap_header())).text, HasSubstr("holds no frames"));
}

TEST(PcapWire, CutsLengthsThatCannotBe) {
  const CaptureDir dir;
  auto wire = open_pcap_wire({dir.write("y.pcap", pcap_header() + pcap_record(1, 0, frame(60, 'a'), 0xffffffff) +
                                                      pcap_record(1, 0, frame(60, 'b'), 1 << 20)),
                              {},
                              1},
                             kNoLimit);
  ASSERT_TRUE(wire);
  EXPECT_THAT((*wire)->describe(), HasSubstr("1 frames that claim more than 1048576 bytes cut to that"));
  const auto got = drain(**wire);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].bytes.size(), 1u << 20);
  EXPECT_EQ(got[1].bytes, frame(60, 'b') + frame((1 << 20) - 60, '\0'));
  EXPECT_EQ((*wire)->counts().zero_filled, 2u);
}

TEST(PcapWire, RefusesWhatDoesNotFitInMemory) {
  const CaptureDir dir;
  const std::string file = dir.write("x.pcap", pcap_header() + pcap_record(1, 0, frame(1000, 'a')));
  const Error e = refused(file, 1007);
  EXPECT_THAT(e.text, AllOf(HasSubstr("1 frames"), HasSubstr("MiB"), HasSubstr("editcap")));
  EXPECT_EQ(e.exit_status(), 1);
  EXPECT_TRUE(open_pcap_wire({file, {}, 1}, 1008));
  EXPECT_GT(half_of_available_memory(), 1024u * 1024);
}

TEST(PcapWire, PadsAndZeroFillsAndCounts) {
  const CaptureDir dir;
  const std::string file = dir.write(
      "x.pcap", pcap_header() + pcap_record(1, 0, frame(60, 'a')) + pcap_record(1, 0, frame(59, 'b')) +
                    pcap_record(1, 0, frame(40, 'c'), 50) + pcap_record(1, 0, frame(64, 'd'), 1514) +
                    pcap_record(1, 0, "") + pcap_record(1, 0, frame(70, 'e'), 65) + pcap_record(1, 0, frame(61, 'f')));
  auto wire = open_pcap_wire({file, {}, 1}, kNoLimit);
  ASSERT_TRUE(wire);
  const auto got = drain(**wire);
  ASSERT_EQ(got.size(), 7u);
  EXPECT_EQ(got[0].bytes, frame(60, 'a'));
  EXPECT_EQ(got[1].bytes, frame(59, 'b') + frame(1, '\0'));
  EXPECT_EQ(got[2].bytes, frame(40, 'c') + frame(20, '\0'));
  EXPECT_EQ(got[3].bytes, frame(64, 'd') + frame(1450, '\0'));
  EXPECT_EQ(got[4].bytes, frame(60, '\0'));
  EXPECT_EQ(got[5].bytes, frame(70, 'e')) << "more captured than sent: kept";
  EXPECT_EQ(got[6].bytes, frame(61, 'f'));
  const WireCounts& c = (*wire)->counts();
  EXPECT_EQ(c.frames, 7u);
  EXPECT_EQ(c.bytes, 60u + 60 + 60 + 1514 + 60 + 70 + 61);
  EXPECT_EQ(c.padded, 3u);
  EXPECT_EQ(c.zero_filled, 2u);
}

TEST(PcapWire, CountEndsInTheMiddleOfAPass) {
  const CaptureDir dir;
  const std::string file =
      dir.write("two.pcap", pcap_header() + pcap_record(1, 0, frame(60, 'a')) + pcap_record(1, 1, frame(60, 'b')));
  for (const std::uint64_t count : {1u, 2u, 3u, 5u}) {
    auto wire = open_pcap_wire({file, Rate{}, 1, count}, kNoLimit);
    ASSERT_TRUE(wire) << wire.error().text;
    EXPECT_EQ((*wire)->total_frames(), count);
    const auto got = drain(**wire);
    ASSERT_EQ(got.size(), count);
    EXPECT_EQ(got.back().bytes, frame(60, count % 2 == 1 ? 'a' : 'b'));
  }
}

TEST(PcapWire, ReadsEveryKindOfStamp) {
  const CaptureDir dir;
  const std::string micro = dir.write(
      "micro.pcap", pcap_header() + pcap_record(100, 999'999, frame(60, 'a')) + pcap_record(101, 2, frame(60, 'b')));
  EXPECT_EQ(replay(micro)[1].departure, 3'000u);
  const std::string nano = dir.write("nano.pcap", pcap_header(kNano) + pcap_record(100, 999'999'999, frame(60, 'a')) +
                                                      pcap_record(101, 2, frame(60, 'b')));
  EXPECT_EQ(replay(nano)[1].departure, 3u);
  const std::string ng = dir.write("x.pcapng", pcapng_header() + pcapng_interface(1) + pcapng_interface(1) +
                                                   pcapng_record(0, 1'700'000'000'123'456'789, frame(61, 'a')) +
                                                   pcapng_record(1, 1'700'000'000'123'456'799, frame(60, 'b')));
  const auto got = replay(ng);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].bytes, frame(61, 'a'));
  EXPECT_EQ(got[1].departure, 10u);
}

TEST(PcapWire, SeamsCountAsNoTime) {
  const CaptureDir dir;
  const std::string file =
      dir.write("x.pcap", pcap_header() + pcap_record(1000, 0, frame(60, 'a')) + pcap_record(1001, 0, frame(60, 'b')) +
                              pcap_record(900, 0, frame(60, 'c')) + pcap_record(902, 0, frame(60, 'd')) +
                              pcap_record(902 + 3600, 0, frame(60, 'e')) + pcap_record(902 + 7201, 0, frame(60, 'f')) +
                              pcap_record(0xffffffff, 0xffffffff, frame(60, 'g')));
  auto wire = open_pcap_wire({file, kOriginal, 1}, kNoLimit);
  ASSERT_TRUE(wire);
  EXPECT_THAT((*wire)->describe(), HasSubstr("3 steps backwards or over an hour"));
  std::vector<std::uint64_t> seconds;
  for (const auto& f : drain(**wire)) seconds.push_back(f.departure / 1'000'000'000);
  EXPECT_EQ(seconds, (std::vector<std::uint64_t>{0, 1, 1, 3, 3603, 3603, 3603}));
}

TEST(PcapWire, Rates) {
  const CaptureDir dir;
  const std::string file =
      dir.write("x.pcap", pcap_header() + pcap_record(1, 0, frame(60, 'a')) + pcap_record(1, 500, frame(1514, 'b')) +
                              pcap_record(1, 900, frame(60, 'c')));
  const auto times = [&](const char* rate) {
    std::vector<std::uint64_t> out;
    for (const auto& f : replay(file, *parse_rate(rate))) out.push_back(f.departure);
    return out;
  };
  using Times = std::vector<std::uint64_t>;
  EXPECT_EQ(times("1x"), (Times{0, 500'000, 900'000}));
  EXPECT_EQ(times("10x"), (Times{0, 50'000, 90'000}));
  EXPECT_EQ(times("0.5x"), (Times{0, 1'000'000, 1'800'000}));
  EXPECT_EQ(times("1kpps"), (Times{0, 1'000'000, 2'000'000}));
  EXPECT_EQ(times("1gbps"), (Times{0, 672, 12'976}));
  EXPECT_EQ(times("max"), (Times{0, 0, 0}));
}

TEST(PcapWire, Loops) {
  const CaptureDir dir;
  const std::string file =
      dir.write("x.pcap", pcap_header() + pcap_record(1, 0, frame(60, 'a')) + pcap_record(1, 100, frame(60, 'b')) +
                              pcap_record(1, 400, frame(40, 'c')));
  auto wire = open_pcap_wire({file, kOriginal, 3}, kNoLimit);
  ASSERT_TRUE(wire);
  EXPECT_EQ((*wire)->total_frames(), 9u);
  EXPECT_THAT((*wire)->describe(), AllOf(HasSubstr("x.pcap, 3 frames, 1x, 3 passes")));
  const auto got = drain(**wire);
  ASSERT_EQ(got.size(), 9u);
  EXPECT_EQ((*wire)->next(), nullptr);
  EXPECT_EQ((*wire)->counts().padded, 3u);
  for (std::size_t i = 3; i < 9; ++i) {
    EXPECT_EQ(got[i].bytes, got[i - 3].bytes);
    EXPECT_EQ(got[i].departure, got[i - 3].departure + 600'000) << "400 us and the mean gap of 200 us";
  }
  // A capture without any duration: passes follow at line rate.
  const auto one = replay(dir.write("y.pcap", pcap_header() + pcap_record(1, 0, frame(60, 'a'))), kOriginal, 2);
  EXPECT_EQ(one[1].departure, 67u);
}

std::filesystem::path data_folder() {
  if (const char* folder = std::getenv("VIGIA_DATA")) return folder;
  return std::filesystem::path(__FILE__).parent_path() / "../../../shared/data";
}

// Frames that libpcap itself reads from a file; nothing when it meets an error or another link type.
std::optional<std::uint64_t> count_with_libpcap(const std::string& file) {
  char text[PCAP_ERRBUF_SIZE];
  pcap_t* p = pcap_open_offline(file.c_str(), text);
  if (p == nullptr) return std::nullopt;
  std::uint64_t frames = 0;
  pcap_pkthdr* header;
  const u_char* data;
  int got;
  while ((got = pcap_next_ex(p, &header, &data)) == 1) ++frames;
  const bool good = got == PCAP_ERROR_BREAK && pcap_datalink(p) == DLT_EN10MB && frames > 0;
  pcap_close(p);
  return good ? std::optional(frames) : std::nullopt;
}

TEST(PcapWire, RealCapturesHaveTheFramesThatLibpcapSees) {
  if (!std::filesystem::is_directory(data_folder())) {
    GTEST_SKIP() << "NO REAL CAPTURES TESTED: no folder " << data_folder() << "; set VIGIA_DATA";
  }
  unsigned opened = 0, refused_files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data_folder())) {
    const std::string file = entry.path().string();
    if (!file.ends_with(".pcap") && !file.ends_with(".pcapng")) continue;
    SCOPED_TRACE(file);
    const auto expected = count_with_libpcap(file);
    auto wire = open_pcap_wire({file, kOriginal, 1}, kNoLimit);
    ASSERT_EQ(static_cast<bool>(wire), expected.has_value()) << (wire ? "" : wire.error().text);
    if (!wire) {
      EXPECT_EQ(wire.error().exit_status(), 2);
      ++refused_files;
      continue;
    }
    ++opened;
    std::uint64_t last = 0;
    while (const WireFrame* f = (*wire)->next()) {
      ASSERT_GE(f->bytes.size(), 60u);
      ASSERT_GE(f->departure_ns, last);
      last = f->departure_ns;
    }
    EXPECT_EQ((*wire)->counts().frames, *expected);
    EXPECT_EQ((*wire)->total_frames(), *expected);
  }
  std::printf("%u captures replayed, %u refused\n", opened, refused_files);
  EXPECT_GT(opened, 0u);
}

}  // namespace
}  // namespace vigia::softnic
