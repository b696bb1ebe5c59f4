// SPDX-License-Identifier: Apache-2.0
// A PCI function with memory instead of a NIC: what the protocol tests talk to.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "hw/populated_file.h"
#include "hw/result.h"
#include "softnic/function_model.h"

namespace vigia::softnic::test {

// BAR 0: 16 KiB of plain memory; with mapped doorbells its pages 1 and 2 are offered for mapping. Region 7: 4096 bytes
// with ids and an MSI-X capability. The counters may be read from any thread.
class FakeFunction final : public FunctionModel {
 public:
  static constexpr std::uint64_t kBarSize = 16384;
  static constexpr unsigned kVectors = 20;  // more than one message can carry

  explicit FakeFunction(bool mapped_doorbells, std::string name = "vf0")
      : name_(std::move(name)), mapped_(mapped_doorbells), bar_(kBarSize) {
    put(config_, 0x00, std::uint32_t{0x10ed8086});
    put(config_, 0x06, std::uint16_t{0x0010});
    config_[0x34] = std::byte{0x60};
    put(config_, 0x60, std::uint16_t{0x7001});  // some other capability first, next at 0x70
    put(config_, 0x70, std::uint32_t{(kVectors - 1) << 16 | 0x0011});
  }

  const std::string& name() const override { return name_; }
  RegionLayout region(unsigned index) const override {
    if (index == 7) return {4096, -1, {}};
    if (index != 0) return {};
    if (!mapped_) return {kBarSize, -1, {}};
    return {kBarSize, bar_.file.fd.get(), {{0x1000, 0x1000}, {0x2000, 0x1000}}};
  }
  unsigned msix_vectors() const override { return kVectors; }

  void region_read(unsigned index, std::uint64_t offset, std::span<std::byte> out) override {
    const std::lock_guard guard(lock);
    std::memcpy(out.data(), memory(index) + offset, out.size());
    ++reads;
  }
  void region_write(unsigned index, std::uint64_t offset, std::span<const std::byte> in) override {
    const std::lock_guard guard(lock);
    std::memcpy(memory(index) + offset, in.data(), in.size());
    ++writes;
  }
  void function_reset() override { ++resets; }
  void set_msix(unsigned vector, Fd eventfd) override {
    const std::lock_guard guard(lock);
    if (vector >= kVectors) std::abort();
    eventfds.erase(vector);
    if (eventfd) eventfds.emplace(vector, std::move(eventfd));
  }
  DmaSpace& dma() override { return dma_; }
  void dma_changed() override { ++dma_changes; }
  void detached() override {
    const std::lock_guard guard(lock);
    eventfds.clear();
    ++detachments;
  }

  std::uint32_t bar_word(std::uint64_t offset) {
    const std::lock_guard guard(lock);
    std::uint32_t value = 0;
    std::memcpy(&value, bar_.file.data + offset, sizeof value);
    return value;
  }
  std::uint16_t command() {
    const std::lock_guard guard(lock);
    std::uint16_t value = 0;
    std::memcpy(&value, config_.data() + 4, sizeof value);
    return value;
  }
  bool msix_enabled() {
    const std::lock_guard guard(lock);
    return (std::to_integer<unsigned>(config_[0x73]) & 0x80) != 0;
  }
  std::size_t assigned() {
    const std::lock_guard guard(lock);
    return eventfds.size();
  }

  std::mutex lock;                  // guards the maps and the memory
  std::map<unsigned, Fd> eventfds;  // by vector
  std::atomic<unsigned> reads = 0, writes = 0, resets = 0, dma_changes = 0, detachments = 0;

 private:
  // Registers lie on ordinary pages, whatever the machine has: a client maps single ones.
  struct Pages {
    explicit Pages(std::size_t bytes) : size(bytes), file(hw::populate_file("bar", bytes, 0)) {
      check(file.data != nullptr);
    }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    ~Pages() { ::munmap(file.data, size); }
    const std::size_t size;
    const hw::PopulatedFile file;
  };

  template <class T>
  static void put(std::vector<std::byte>& where, std::size_t at, T value) {
    std::memcpy(where.data() + at, &value, sizeof value);
  }
  std::byte* memory(unsigned index) {
    if (index == 0) return bar_.file.data;
    if (index == 7) return config_.data();
    std::abort();  // the server must not ask for absent regions
  }

  std::string name_;
  bool mapped_;
  Pages bar_;
  std::vector<std::byte> config_ = std::vector<std::byte>(4096);
  DmaSpace dma_;
};

}  // namespace vigia::softnic::test
