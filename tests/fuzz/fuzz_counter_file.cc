// SPDX-License-Identifier: Apache-2.0
// read_counters() on foreign bytes. What it accepts must be what the bytes say: written again by CounterFile it reads
// the same.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "hw/counter_file.h"
#include "hw/fd.h"

namespace {

using namespace vigia;

}  // namespace

std::vector<std::vector<std::uint8_t>> fuzz_seeds();
std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (const std::size_t count : {0u, 1u, 3u}) {
    std::vector<std::uint8_t> bytes(64 + 64 * count);
    std::memcpy(bytes.data(), "VIGIACNT\1\0\0", 11);
    bytes[12] = static_cast<std::uint8_t>(count);
    for (std::size_t i = 0; i < count; ++i) bytes[64 + 64 * i] = static_cast<std::uint8_t>('a' + i);
    if (count == 3) std::memcpy(&bytes[64 + 64], "a@0.b", 5);
    seeds.push_back(bytes);
  }
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Fd file(::memfd_create("counters", MFD_CLOEXEC));
  static const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  if (::ftruncate(file.get(), 0) != 0 || ::pwrite(file.get(), data, size, 0) != static_cast<ssize_t>(size))
    std::abort();
  const auto read = hw::read_counters(path);
  if (!read) {
    if (read.error().exit_status() != 2 || read.error().text.empty()) std::abort();
    return 0;
  }
  // What the reader adds, the sums of x@0.y, x@1.y .., a file written again adds, too.
  if (size < 64 || size % 64 != 0) std::abort();
  std::vector<std::string> names;
  for (std::size_t at = 64; at < size; at += 64) names.emplace_back(reinterpret_cast<const char*>(data + at));
  auto again = hw::CounterFile::create("", names);
  if (!again) std::abort();
  for (const std::string& name : names) again->named(name).set(read->values.at(name));
  if (again->snapshot() != read->values) std::abort();
  return 0;
}
