// SPDX-License-Identifier: Apache-2.0
// A temporary folder and captures made in it, for tests.
#pragma once

#include <pcap/pcap.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace vigia::orch {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "vigia-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(std::string_view name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

struct TestFrame {
  std::string bytes;
  std::uint32_t wire_length = 0;  // 0: as many as there are bytes
  std::uint64_t time_ns = 1'000'000'001;
};

inline void write_capture(const std::filesystem::path& file, const std::vector<TestFrame>& frames,
                          int link = DLT_EN10MB) {
  pcap_t* format = pcap_open_dead_with_tstamp_precision(link, 262144, PCAP_TSTAMP_PRECISION_NANO);
  pcap_dumper_t* out = pcap_dump_open(format, file.c_str());
  for (const TestFrame& f : frames) {
    pcap_pkthdr header{};
    header.ts.tv_sec = static_cast<time_t>(f.time_ns / 1'000'000'000u);
    header.ts.tv_usec = static_cast<suseconds_t>(f.time_ns % 1'000'000'000u);
    header.caplen = static_cast<bpf_u_int32>(f.bytes.size());
    header.len = f.wire_length ? f.wire_length : header.caplen;
    pcap_dump(reinterpret_cast<u_char*>(out), &header, reinterpret_cast<const u_char*>(f.bytes.data()));
  }
  pcap_dump_close(out);
  pcap_close(format);
}

// An Ethernet + IPv4 frame of that protocol and destination port, 60 bytes and a payload.
inline std::string ipv4_frame(char protocol, unsigned port, std::string_view payload = {}) {
  std::string f("\x0a\x0a\x0a\x0a\x0a\x0a\x0b\x0b\x0b\x0b\x0b\x0b\x08\x00", 14);
  f += std::string("\x45\x00\x00\x2e\x00\x01\x00\x00\x40", 9) + protocol +
       std::string("\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02", 10);
  f += std::string("\x30\x39", 2) + static_cast<char>(port >> 8) + static_cast<char>(port);
  f.resize(60);
  return f + std::string(payload);
}
inline constexpr char kTcp = 6, kUdp = 17;

}  // namespace vigia::orch
