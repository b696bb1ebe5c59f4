// SPDX-License-Identifier: Apache-2.0
// Any bytes as a capture file: refused with a sentence, or replayed with counts that agree.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "softnic/wire_pcap.h"
#include "tests/softnic/capture_file.h"

namespace {

using namespace vigia::softnic;

void expect(bool ok) {
  if (!ok) std::abort();
}

void replay(Wire& wire) {
  std::uint64_t frames = 0, bytes = 0, last = 0;
  while (const WireFrame* f = wire.next()) {
    expect(f->bytes.size() >= 60 && f->bytes.size() <= 1u << 20);
    expect(f->departure_ns >= last);
    last = f->departure_ns;
    // The last byte is behind a wrong length: ASan.
    expect((f->bytes.front() ^ f->bytes.back()) != std::byte{0} || f->bytes.front() == f->bytes.back());
    ++frames;
    bytes += f->bytes.size();
  }
  const WireCounts& counts = wire.counts();
  expect(counts.frames == frames && counts.bytes == bytes && wire.total_frames() == frames);
  expect(counts.padded <= frames && counts.zero_filled <= frames);
  expect(!wire.describe().empty());
}

}  // namespace

// One small capture of each kind.
std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  const std::string frame(61, 'a');
  std::vector<std::vector<std::uint8_t>> seeds;
  for (const std::string& file :
       {pcap_header(kMicro) + pcap_record(1, 2, frame) + pcap_record(3, 4, frame, 1514),
        pcap_header(kNano) + pcap_record(9, 2, frame) + pcap_record(3, 4, frame),
        pcapng_header() + pcapng_interface(1) + pcapng_record(0, 5, frame) + pcapng_record(0, 7, frame)}) {
    seeds.emplace_back(file.begin(), file.end());
  }
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int fd = ::memfd_create("capture", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  expect(fd >= 0 && ::ftruncate(fd, 0) == 0 && ::pwrite(fd, data, size, 0) == static_cast<ssize_t>(size));
  // The first byte picks the rate too; in a capture it is the magic number's, so each kind of file gets one.
  const Rate::Kind kind = size != 0 && data[0] % 2 == 0 ? Rate::Kind::original : Rate::Kind::bits;
  const PcapSpec spec{path, {kind, 2.0}, 2};
  constexpr std::uint64_t kMemory = 64u << 20;
  auto wire = open_pcap_wire(spec, kMemory);
  if (wire) {
    replay(**wire);
  } else {
    expect(wire.error().text.find(path) != std::string::npos);
  }
  return 0;
}
