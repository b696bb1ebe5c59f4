// SPDX-License-Identifier: Apache-2.0
#include "hw/kernel_function.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace vigia::hw {
namespace {

// PCI configuration space (PCI Local Bus 3.0, 6.1 and 6.2).
constexpr std::uint32_t kConfigBytes = 4096, kCommand = 0x04, kStatus = 0x06, kMemorySpace = 1u << 1;
// No device has every status bit set: some are reserved and read as 0.
constexpr std::uint32_t kNobodyAnswers = 0xffff;

}  // namespace

// Accesses outside mapped pages: one system call each.
class KernelFunction::RangeTrap final : public Bar::Trap {
 public:
  RangeTrap(const KernelFunction& function, const FileRange& range) : function_(function), range_(range) {}

  std::uint32_t read32(std::uint32_t offset) noexcept override {
    std::uint32_t value = 0;
    // Relaxed, twice: a flag that no data hang on.
    if (function_.gone_.load(std::memory_order_relaxed)) return ~0u;
    return function_.transfer(range_, offset, &value, sizeof value, false) ? value : ~0u;
  }
  void write32(std::uint32_t offset, std::uint32_t value) noexcept override {
    // A refused or lost write vanishes, as on a bus; alive() tells about the latter.
    if (!function_.gone_.load(std::memory_order_relaxed)) {
      (void)function_.transfer(range_, offset, &value, sizeof value, true);
    }
  }

 private:
  const KernelFunction& function_;
  const FileRange& range_;
};

struct KernelFunction::MappedBar {
  MappedBar(const KernelFunction& function, FileRange where, std::vector<Bar::Window> windows)
      : range(std::move(where)),
        trap(function, range),
        bar(static_cast<std::uint32_t>(range.size), trap, std::move(windows)) {}

  FileRange range;
  RangeTrap trap;
  Bar bar;
};

KernelFunction::KernelFunction(std::string name, FileRange config)
    : name_(std::move(name)), config_(std::move(config)) {}
KernelFunction::~KernelFunction() = default;

Result<Done> KernelFunction::transfer(const FileRange& range, std::uint64_t offset, void* data, std::size_t bytes,
                                      bool write) const {
  if (offset > range.size || range.size - offset < bytes) {
    return work_error(
        fmt::format("{} {} bytes at {:#x} of {}: beyond its end", write ? "write" : "read", bytes, offset, name_));
  }
  const auto at = static_cast<off_t>(range.offset + offset);
  const ssize_t n = write ? ::pwrite(range.fd, data, bytes, at) : ::pread(range.fd, data, bytes, at);
  if (n == static_cast<ssize_t>(bytes)) return Done{};
  const int failure = n < 0 ? errno : EIO;
  return os_error(fmt::format("{} {} bytes at {:#x} of {}", write ? "write" : "read", bytes, offset, name_), failure);
}

Result<std::uint32_t> KernelFunction::config_read(std::uint32_t offset, unsigned bytes) {
  check((bytes == 1 || bytes == 2 || bytes == 4) && offset % bytes == 0 && offset < kConfigBytes);
  std::uint32_t value = 0;  // little-endian, as the configuration space and x86 are
  if (auto read = transfer(config_, offset, &value, bytes, false); !read) return read.error();
  return value;
}

Result<Done> KernelFunction::config_write(std::uint32_t offset, unsigned bytes, std::uint32_t value) {
  check((bytes == 1 || bytes == 2 || bytes == 4) && offset % bytes == 0 && offset < kConfigBytes);
  return transfer(config_, offset, &value, bytes, true);
}

Result<Done> KernelFunction::identify(std::optional<PciId> known) {
  const auto ids = config_read(0, 4);
  if (!ids) return ids.error();
  id_ = known.value_or(PciId{static_cast<std::uint16_t>(*ids), static_cast<std::uint16_t>(*ids >> 16)});
  const auto command = config_read(kCommand, 2);
  if (!command) return command.error();
  return config_write(kCommand, 2, *command | kMemorySpace);
}

Result<Bar*> KernelFunction::map_bar(unsigned index) {
  constexpr std::uint64_t kLargestBar = 1u << 30;  // offsets are 32 bits wide; no BAR of this family comes near
  const std::lock_guard guard(lock_);
  if (index < bars_.size() && bars_[index] != nullptr) return &bars_[index]->bar;
  FileRange range;
  if (index < bars_.size()) {
    auto found = find_bar(index);
    if (!found) return found.error();
    range = std::move(*found);
  }
  if (range.size == 0 || range.size > kLargestBar) {
    return work_error(
        fmt::format("map BAR {} of {}: the device has no such BAR; is it the kind of device meant?", index, name_));
  }
  auto windows = pages_.map(fmt::format("BAR {} of {}", index, name_), range.fd, range.offset, range.areas);
  if (!windows) return windows.error();
  bars_[index] = std::make_unique<MappedBar>(*this, std::move(range), std::move(*windows));
  return &bars_[index]->bar;
}

void KernelFunction::lose() const noexcept {
  gone_.store(true, std::memory_order_relaxed);  // relaxed: see RangeTrap
  const std::lock_guard guard(lock_);
  pages_.show_ones();
}

bool KernelFunction::alive() const noexcept {
  // Relaxed here and below: flags that no data hang on; two threads that look at once do no harm.
  if (gone_.load(std::memory_order_relaxed)) return false;
  constexpr std::chrono::nanoseconds kBetweenLooks = std::chrono::milliseconds(100);
  const std::int64_t now = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
  if (now < next_look_ns_.load(std::memory_order_relaxed)) return true;
  next_look_ns_.store(now + kBetweenLooks.count(), std::memory_order_relaxed);
  std::uint16_t status = kNobodyAnswers;
  (void)transfer(config_, kStatus, &status, sizeof status, false);
  if (status != kNobodyAnswers && !asked_to_leave()) return true;
  lose();
  return false;
}

}  // namespace vigia::hw
