// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/pcapng_count.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>
#include <span>

#include "hw/fd.h"

namespace vigia::orch {
namespace {

// Block types of the pcapng specification (IETF draft-ietf-opsawg-pcapng), section 4.
constexpr std::uint32_t kSection = 0x0a0d0d0a, kOldPacket = 2, kSimplePacket = 3, kEnhancedPacket = 6;
constexpr std::uint32_t kByteOrder = 0x1a2b3c4d;
constexpr std::size_t kSmallestBlock = 12, kSmallestSection = 28;

class Mapping {
 public:
  Mapping(int fd, std::size_t size)
      : size_(size), data_(size ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0) : nullptr) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (good() && size_) ::munmap(data_, size_);
  }
  bool good() const { return data_ != MAP_FAILED; }
  // SAFETY: the mapping has size_ readable bytes as long as nobody shortens the file; its writer has ended.
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }

 private:
  std::size_t size_;
  void* data_;
};

std::uint32_t word(std::span<const std::byte> bytes, std::size_t at, bool swap) {
  std::uint32_t v = 0;
  std::memcpy(&v, bytes.data() + at, sizeof v);
  return swap ? __builtin_bswap32(v) : v;
}

}  // namespace

Result<PcapngCount> count_pcapng(const std::filesystem::path& file) {
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return os_error("open " + file.string());
  const Mapping mapping(fd.get(), static_cast<std::size_t>(info.st_size));
  if (!mapping.good()) return os_error("map " + file.string());
  const auto bytes = mapping.bytes();
  PcapngCount count;
  bool swap = false;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t left = bytes.size() - at;
    count.complete = false;  // until this block is seen to be whole
    if (left < kSmallestBlock) break;
    const std::uint32_t type = word(bytes, at, false);
    if (type == kSection) {
      if (left < kSmallestSection) break;
      swap = word(bytes, at + 8, false) != kByteOrder;
      if (word(bytes, at + 8, swap) != kByteOrder) break;
    } else if (at == 0) {
      return work_error(fmt::format("{} does not begin like a pcapng file", file.string()));
    }
    const std::uint32_t length = word(bytes, at + 4, swap);
    if (length < kSmallestBlock || length % 4 != 0 || length > left) break;
    if (word(bytes, at + length - 4, swap) != length) break;
    const std::uint32_t kind = swap ? __builtin_bswap32(type) : type;
    count.frames += kind == kEnhancedPacket || kind == kSimplePacket || kind == kOldPacket;
    count.complete = true;
    at += length;
  }
  return count;
}

}  // namespace vigia::orch
