// SPDX-License-Identifier: Apache-2.0
// Capture files of strangers: any bytes, as a file that claims to be RAW, pcap or pcapng. The model: what a plain walk
// over the records finds, the reader must find too.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "vfdriver/reader.h"

// A record, padding, a record; and the heads of the other formats.
std::vector<std::vector<std::uint8_t>> fuzz_seeds();
std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  using Bytes = std::vector<std::uint8_t>;
  return {Bytes{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 60, 0, 7, 8, 9, 0, 0, 0, 0, 0, 0,
                0, 0, 2, 0, 2, 0, 5, 5, 1, 0, 0,  0, 3, 0, 0, 0, 1, 0, 1, 0, 6},
          Bytes{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1,
                0,    0,    0,    1,    0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9, 0,    0,    0, 5},
          Bytes{0x0a, 0x0d, 0x0d, 0x0a, 28,   0,    0,    0,    0x4d, 0x3c, 0x2b, 0x1a, 1,  0, 0, 0,
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 28,   0,    0,    0,    1,  0, 0, 0,
                20,   0,    0,    0,    1,    0,    0,    0,    0,    0,    0,    0,    20, 0, 0, 0}};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vigia::vf;
  static const int fd = ::memfd_create("fuzz", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  auto reader = open_capture(path);
  if (!reader) return 0;
  const bool raw = (*reader)->format() == "RAW";
  std::size_t at = 0;
  FrameView view;
  for (;;) {
    const auto more = (*reader)->next(view);
    if (!more || !*more) break;
    // The bytes must be readable: a sum that the compiler cannot drop.
    unsigned sum = 0;
    for (const std::byte b : view.bytes) sum += static_cast<unsigned>(b);
    asm volatile("" : : "r"(sum));  // the sum is wanted, as far as the compiler knows
    if (!raw) continue;
    RecordHeader header;
    do {
      if (size - at < sizeof(header)) std::abort();
      std::memcpy(&header, data + at, sizeof(header));
      at += sizeof(header) + header.captured;
    } while (header.padding());
    if (header.stamp != view.stamp || header.captured != view.bytes.size() || header.wire != view.wire || at > size ||
        (header.captured > 0 && std::memcmp(data + at - header.captured, view.bytes.data(), header.captured) != 0)) {
      std::abort();
    }
  }
  return 0;
}
