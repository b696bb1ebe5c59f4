// SPDX-License-Identifier: Apache-2.0
#include "softnic/arrival_log.h"

#include <ctime>
#include <fstream>

namespace vigia::softnic {
namespace {

std::uint64_t read(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

// CLOCK_REALTIME minus CLOCK_MONOTONIC, by the narrowest of several looks. Both are slewed alike: the distance changes
// only when the clock is set.
std::uint64_t epoch_offset() {
  std::uint64_t offset = 0, narrowest = ~std::uint64_t{0};
  for (int i = 0; i < 64; ++i) {
    const std::uint64_t before = read(CLOCK_MONOTONIC);
    const std::uint64_t real = read(CLOCK_REALTIME);
    const std::uint64_t after = read(CLOCK_MONOTONIC);
    if (after - before < narrowest) {
      narrowest = after - before;
      offset = real - (before + narrowest / 2);
    }
  }
  return offset;
}

}  // namespace

ArrivalLog::ArrivalLog(std::filesystem::path path, std::uint64_t frames)
    : path_(std::move(path)), entries_(frames), epoch_offset_ns_(epoch_offset()) {}

Result<ArrivalLog> ArrivalLog::create(const std::filesystem::path& path, std::uint64_t frames) {
  if (!std::ofstream(path, std::ios::binary)) return input_error(os_error("--arrivals " + path.string()).text);
  return ArrivalLog(path, frames);
}

Result<Done> ArrivalLog::close() {
  std::ofstream out(path_, std::ios::binary);
  // SAFETY: plain integers, written as they lie in memory.
  out.write(reinterpret_cast<const char*>(entries_.data()), static_cast<std::streamsize>(used_ * sizeof(ArrivalEntry)));
  out.close();
  if (!out) return os_error("write --arrivals " + path_.string());
  return Done{};
}

}  // namespace vigia::softnic
