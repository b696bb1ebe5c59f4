// SPDX-License-Identifier: Apache-2.0
// Any options, any segments at any times, under the search that forgets nothing: what the table calls a repetition is
// one, in a burst and one by one; no byte beyond a segment is read (each is a heap block of its exact size).
#include <cstdlib>
#include <cstring>
#include <memory>

#include "tests/vfdriver/all_duplicates.h"

namespace {

using namespace vigia::vf;

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : at_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  std::uint32_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *at_++;
  }

 private:
  const std::uint8_t* at_;
  std::size_t left_;
};

struct Segment {
  std::unique_ptr<std::byte[]> bytes;
  std::uint32_t length, wire;
  std::uint64_t ns;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  DuplicateOptions options;
  options.records = 8 + in.byte();
  options.bytes = 16 + in.byte() % 241;
  options.window = std::chrono::milliseconds(1 + in.byte());
  Duplicates table(options);
  test::AllDuplicates all(options);
  std::uint64_t ns = 0;
  while (!in.empty()) {
    std::vector<Segment> segments;
    std::vector<RxSegment> burst;
    for (std::size_t n = 1 + in.byte() % Duplicates::kMaxBurst; n > 0; --n) {
      // Few contents and lengths, so that repetitions are frequent and differ in one place only.
      const std::uint32_t length = in.byte() * 2, fill = in.byte(), at = in.byte();
      ns += in.byte() * 100'000;
      Segment& s = segments.emplace_back();
      s = {std::make_unique<std::byte[]>(length), length, length + (fill >> 6), ns};
      std::memset(s.bytes.get(), static_cast<int>(fill & 3), length);
      if (at < length) s.bytes[at] ^= std::byte{0x80};
      burst.push_back({s.bytes.get(), length, true});
    }
    table.foresee(burst);
    for (std::size_t i = 0; i < burst.size(); ++i) {
      const bool verdict = table.repeats(i, burst[i], segments[i].wire, segments[i].ns);
      const bool truth = all.judge({burst[i].data, burst[i].length}, segments[i].wire, segments[i].ns, verdict);
      if (verdict && !truth) std::abort();
    }
  }
  return 0;
}
