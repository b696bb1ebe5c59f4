// SPDX-License-Identifier: Apache-2.0
// The ring of a strange process: a valid one is made, any of its words are overwritten as the input says, then it is
// opened and read as a listener would. Nothing may crash, hang or read outside.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "vfdriver/ring.h"
#include "vfdriver/ring_reader.h"

namespace {

using namespace vigia;
using namespace vigia::vf;

constexpr RingGeometry kGeometry{
    .data_bytes = 16 * 1024, .segment_bytes = 32 * 1024, .mark_bytes = 4096, .max_captured = 1514};

// The bytes of an honest ring that has gone round, once and for all.
const std::vector<std::byte>& honest() {
  static const std::vector<std::byte> image = [] {
    auto memory = RingMemory::create(kGeometry, "fuzz");
    auto table = ListenerTable::create();
    if (!memory || !table) std::abort();
    RingWriter writer(*memory, *table);
    const std::array<std::byte, 300> frame{};
    for (int i = 0; i < 200; ++i) {
      writer.append(Stamp{1, static_cast<std::uint32_t>(i)}, frame.data(), 60 + static_cast<std::uint32_t>(i), 300);
      writer.publish();
    }
    std::vector<std::byte> bytes(static_cast<std::size_t>(::lseek(memory->fd(), 0, SEEK_END)));
    if (::pread(memory->fd(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
    return bytes;
  }();
  return image;
}

void listen(const RingMemory& ring, ListenerKind kind, RingPoint start) {
  Fd slot{::memfd_create("slot", MFD_CLOEXEC)};
  if (::ftruncate(slot.get(), 4096) != 0) std::abort();
  auto reader = RingReader::create(ring, std::move(slot), kind, start);
  if (!reader) std::abort();
  for (int i = 0; i < 50 && !reader->broken() && !reader->finished(); ++i) {
    const auto bytes = reader->peek(kMaxRecord);
    RecordCursor cursor(bytes);
    FrameView view;
    std::uint64_t frames = 0;
    unsigned sum = 0;
    while (cursor.next(view)) {
      for (const std::byte b : view.bytes) sum += static_cast<unsigned>(b);
      ++frames;
    }
    asm volatile("" : : "r"(sum));  // the sum is wanted, as far as the compiler knows
    if (cursor.consumed() == 0) break;
    reader->advance(cursor.consumed(), frames);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> image = honest();
  RingPoint start;
  // Five bytes each: where (in the header page mostly), and what.
  for (; size >= 5; data += 5, size -= 5) {
    std::uint16_t where = 0;
    std::memcpy(&where, data, sizeof(where));
    const std::size_t offset = data[2] % 8 != 0 ? where % 4096u : where % image.size();
    if (data[2] % 8 == 7) {
      start.position = std::uint64_t{where} << data[4] % 50;
    } else {
      image[offset] = static_cast<std::byte>(data[4]);
    }
  }
  Fd fd{::memfd_create("fuzz-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  if (::ftruncate(fd.get(), static_cast<off_t>(image.size())) != 0 ||
      ::pwrite(fd.get(), image.data(), image.size(), 0) != static_cast<ssize_t>(image.size()) ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0) {
    std::abort();
  }
  auto ring = RingMemory::open(std::move(fd));
  if (!ring) return 0;
  listen(*ring, ListenerKind::overwritable, start);
  listen(*ring, ListenerKind::lossless, start);
  return 0;
}
