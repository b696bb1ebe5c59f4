// SPDX-License-Identifier: Apache-2.0
// Time indexes of strangers: any bytes beside a RAW file that is whole. Whatever they say, what is believed of them
// goes on, and a window is read without a fault, in the order of time.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "vfdriver/raw_reader.h"
#include "vfdriver/stored_frames.h"

namespace {

using namespace vigia::vf;
namespace fs = std::filesystem;

constexpr std::uint32_t kFrames = 100, kSize = 52;

// One directory for the whole run, with a RAW file of frames stamped 1, 2, 3 ... s.
struct Place {
  Place() {
    std::string name = "/tmp/vigia-fuzz-XXXXXX";
    if (!::mkdtemp(name.data())) std::abort();
    dir = name;
    std::vector<std::byte> bytes(kFrames * (kRecordHeader + kSize));
    for (std::uint32_t i = 0; i < kFrames; ++i) {
      const RecordHeader header{Stamp{i + 1, 0}, kSize, kSize};
      std::memcpy(bytes.data() + i * (kRecordHeader + kSize), &header, sizeof(header));
    }
    write(raw(), bytes.data(), bytes.size());
  }
  ~Place() {
    std::error_code ignored;
    fs::remove_all(dir, ignored);
  }
  fs::path raw() const { return dir / "x-00000001.raw"; }
  fs::path idx() const { return dir / "x-00000001.idx"; }
  static void write(const fs::path& path, const void* data, std::size_t size) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ::write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
    ::close(fd);
  }
  fs::path dir;
};

void append(std::vector<std::uint8_t>& to, const void* data, std::size_t size) {
  const auto* bytes = static_cast<const std::uint8_t*>(data);
  to.insert(to.end(), bytes, bytes + size);
}

}  // namespace

std::vector<std::vector<std::uint8_t>> fuzz_seeds();
std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::uint8_t> whole;
  const IndexHead head;
  append(whole, &head, sizeof(head));
  for (const std::uint64_t i : {0u, 10u, 50u}) {
    const IndexEntry entry{(i + 1) * 1'000'000'000, i * (kRecordHeader + kSize), i};
    append(whole, &entry, sizeof(entry));
  }
  return {whole, {whole.begin(), whole.begin() + sizeof(head)}};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Place place;
  Place::write(place.idx(), data, size);
  const auto index = read_index(place.idx());
  if (index) {
    for (std::size_t i = 1; i < index->size(); ++i) {
      if ((*index)[i].offset <= (*index)[i - 1].offset || (*index)[i].ns < (*index)[i - 1].ns) std::abort();
    }
  }
  constexpr std::uint64_t kFrom = 20'000'000'000, kTo = 30'000'000'000;
  std::uint64_t last = 0;
  for (const StoredPlace& part : places_in({place.raw()}, kFrom, kTo)) {
    auto reader = open_raw_part(part.file, part.offset, part.end);
    if (!reader) continue;
    FrameView frame;
    for (auto more = (*reader)->next(frame); more && *more; more = (*reader)->next(frame)) {
      if (frame.stamp.total_ns() <= last) std::abort();
      last = frame.stamp.total_ns();
    }
  }
  return 0;
}
