// SPDX-License-Identifier: Apache-2.0
// Capture files of every kind, written byte by byte: what libpcap does not write, wires must read.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "tests/temp_dir.h"

namespace vigia::softnic {

// A folder for the captures of one test.
class CaptureDir : public test::TempDir {
 public:
  std::string file(const std::string& name) const { return (*this / name).string(); }
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
    return file(name);
  }
};

template <class... T>
std::string words(T... values) {
  std::string out;
  const auto add = [&](std::uint32_t v) { out.append(reinterpret_cast<const char*>(&v), sizeof v); };
  (add(static_cast<std::uint32_t>(values)), ...);
  return out;
}

constexpr std::uint32_t kMicro = 0xa1b2c3d4, kNano = 0xa1b23c4d, kEthernet = 1;

// pcap, the file's own byte order.
inline std::string pcap_header(std::uint32_t magic = kMicro, std::uint32_t link = kEthernet,
                               std::uint32_t snaplen = 262144) {
  return words(magic, 4u << 16 | 2, 0, 0, snaplen, link);
}
// fraction in the file's unit; wire: the length on the wire, by default all of data.
inline std::string pcap_record(std::uint32_t seconds, std::uint32_t fraction, const std::string& data,
                               std::uint32_t wire = 0) {
  const auto captured = static_cast<std::uint32_t>(data.size());
  return words(seconds, fraction, captured, wire != 0 ? wire : captured) + data;
}

// pcapng with one interface per entry of links, nanosecond stamps.
inline std::string pcapng_interface(std::uint32_t link) { return words(1, 32, link, 0, 1u << 16 | 9, 9, 0, 32); }
inline std::string pcapng_header() { return words(0x0a0d0d0a, 28, 0x1a2b3c4d, 1, ~0u, ~0u, 28); }
inline std::string pcapng_record(std::uint32_t interface, std::uint64_t ns, const std::string& data) {
  const std::string padding((4 - data.size() % 4) % 4, '\0');
  const auto block = static_cast<std::uint32_t>(32 + data.size() + padding.size());
  return words(6, block, interface, ns >> 32, ns, data.size(), data.size()) + data + padding + words(block);
}

}  // namespace vigia::softnic
