// SPDX-License-Identifier: Apache-2.0
// Capture files of strangers: any bytes, as a file that claims to be RAW, pcap or pcapng. The model: what a plain walk
// over the records finds, the reader must find too.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "vfdriver/reader.h"

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
    static volatile unsigned sink;
    sink = sum;
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
