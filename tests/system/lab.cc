// SPDX-License-Identifier: Apache-2.0
#include "lab.h"

#include <pcap/pcap.h>
#include <signal.h>
#include <stdlib.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <thread>

namespace vigia::system_test {
namespace {

namespace fs = std::filesystem;

struct Raw {
  std::string bytes;
  std::uint32_t wire_length;
  std::uint64_t time_ns;
};

std::vector<Raw> read_raw(const fs::path& file) {
  std::array<char, PCAP_ERRBUF_SIZE> why{};
  pcap_t* in = pcap_open_offline_with_tstamp_precision(file.c_str(), PCAP_TSTAMP_PRECISION_NANO, why.data());
  std::vector<Raw> frames;
  if (!in) {
    ADD_FAILURE() << why.data();
    return frames;
  }
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  while (pcap_next_ex(in, &header, &data) == 1) {
    frames.push_back({{reinterpret_cast<const char*>(data), header->caplen},
                      header->len,
                      static_cast<std::uint64_t>(header->ts.tv_sec) * 1'000'000'000u +
                          static_cast<std::uint64_t>(header->ts.tv_usec)});
  }
  pcap_close(in);
  return frames;
}

std::string mac_bytes(const std::string& text) {
  std::array<unsigned, 6> b{};
  std::sscanf(text.c_str(), "%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]);
  return {b.begin(), b.end()};
}

}  // namespace

std::vector<Frame> read_frames(const fs::path& file) {
  std::vector<Frame> frames;
  for (Raw& raw : read_raw(file)) {
    EXPECT_EQ(raw.bytes.size(), raw.wire_length) << "cut in the file although no snaplen was asked for";
    frames.push_back({std::move(raw.bytes), raw.time_ns});
  }
  return frames;
}

std::vector<std::string> expected_frames(const fs::path& input, const Expected& expected, std::size_t largest) {
  const fs::path picked = fs::temp_directory_path() / ("vigia-expected-" + std::to_string(::getpid()) + ".pcap");
  std::vector<std::string> argv{"tcpdump", "-r", input, "-w", picked};
  if (!expected.filter.empty()) argv.push_back(expected.filter);
  const Finished tcpdump = run(argv);
  EXPECT_EQ(tcpdump.status, 0) << tcpdump.err;
  std::vector<std::string> frames;
  for (Raw& raw : read_raw(picked)) {
    raw.bytes.resize(std::max<std::size_t>({raw.bytes.size(), raw.wire_length, 60}), '\0');
    if (!expected.mac.empty()) raw.bytes.replace(0, 6, mac_bytes(expected.mac));
    // A VLAN tag does not count against the port's frame size.
    const bool tagged = raw.bytes[12] == '\x81' && raw.bytes[13] == '\0';
    if (raw.bytes.size() <= largest + (tagged ? 4 : 0)) frames.push_back(std::move(raw.bytes));
  }
  fs::remove(picked);
  return frames;
}

void expect_same_frames(const fs::path& file, const std::vector<std::string>& expected) {
  const std::vector<Frame> frames = read_frames(file);
  ASSERT_EQ(frames.size(), expected.size()) << file;
  ASSERT_FALSE(expected.empty()) << "the test compares nothing";
  for (std::size_t i = 0; i < frames.size(); ++i) {
    ASSERT_EQ(frames[i].bytes.size(), expected[i].size()) << "length of frame " << i;
    ASSERT_EQ(frames[i].bytes, expected[i]) << "frame " << i;
    ASSERT_TRUE(i == 0 || frames[i].time_ns >= frames[i - 1].time_ns) << "stamp of frame " << i;
  }
}

LabTest::LabTest() {
  std::string pattern = (fs::temp_directory_path() / "vigia-lab-XXXXXX").string();
  dir_ = ::mkdtemp(pattern.data());
  out_ = dir_ / "out";
}

LabTest::~LabTest() {
  std::error_code ignored;
  fs::remove_all(dir_, ignored);
}

fs::path LabTest::write(const std::string& name, const std::string& text) const {
  std::ofstream(dir_ / name, std::ios::binary) << text;
  return dir_ / name;
}

std::vector<std::string> LabTest::lab_command() const {
  return {program("vigia"), "lab", "run", dir_ / "lab.yaml", "--out", out_, "--json"};
}

void LabTest::expect_nobody_left() const {
  const auto left = processes_with(dir_.string());
  EXPECT_TRUE(left.empty()) << left.front();
}

LabTest::Result LabTest::finish_lab(Process& process) const {
  const Finished done = process.wait();
  expect_nobody_left();
  Result result{done.status, nlohmann::json::parse(done.out, nullptr, false), done.err};
  EXPECT_TRUE(result.json.is_object()) << "stdout is not one JSON object: " << done.out << done.err;
  if (::testing::Test::HasFailure()) std::fprintf(stderr, "%s\n", done.err.c_str());
  return result;
}

LabTest::Result LabTest::run_lab(const std::string& body) const {
  write_lab(body);
  Process process(lab_command());
  return finish_lab(process);
}

nlohmann::json LabTest::manifest() const {
  std::ifstream in(out_ / "lab.json");
  return nlohmann::json::parse(in, nullptr, false);
}

pid_t LabTest::pid_of(const std::string& name) const {
  const auto m = manifest();
  if (name == "softnic" || name == "pf") return m[name]["pid"].get<pid_t>();
  for (const auto& party : m["parties"]) {
    if (party["name"] == name) return party["pid"].get<pid_t>();
  }
  ADD_FAILURE() << "nobody is called " << name;
  return -1;
}

std::unique_ptr<Process> LabTest::start_lab(const std::string& body) const {
  write_lab(body);
  auto process = std::make_unique<Process>(lab_command());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  const auto everybody = [&] {
    const auto m = manifest();
    if (!m.is_object()) return false;
    for (const auto& party : m["parties"]) {
      if (!fs::exists(out_ / (party["name"].get<std::string>() + ".ready"))) return false;
    }
    return true;
  };
  while (!everybody()) {
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "the lab is not at work after 60 s";
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(700));  // into the middle of the traffic
  return process;
}

fs::path demo_capture() { return fs::path(VIGIA_SOURCE) / "tests/data/demo.pcap"; }

}  // namespace vigia::system_test
