// SPDX-License-Identifier: Apache-2.0
// Registers as typed lines of a table, and the one door to device memory. A register's access mode decides which
// calls exist: writing a read-only register does not compile. Only this file says volatile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "hw/result.h"

namespace vigia::hw {

enum class Access {
  read_only,
  write_only,
  read_write,
  read_clears,    // a read returns the value and sets it to 0
  write_1_clears  // a written 1 clears the bit
};

// Where register i of a group lies: base + stride * i.
struct Linear {
  std::uint32_t base, stride;
  constexpr std::uint32_t operator()(std::uint32_t i) const { return base + stride * i; }
};

// A group in two pieces: i < split at first, the rest at second.
struct Split {
  std::uint32_t first, second, split, stride;
  constexpr std::uint32_t operator()(std::uint32_t i) const {
    return i < split ? first + stride * i : second + stride * (i - split);
  }
};

template <Access A, std::uint32_t Count, auto At>
struct Reg {
  const char* name;  // as in the datasheet

  static constexpr Access access = A;
  static constexpr std::uint32_t count = Count;
  // Byte offset in the BAR.
  static constexpr std::uint32_t at(std::uint32_t i = 0) {
    check(i < Count);
    return At(i);
  }
  // Whether a byte offset is a register of this group, and which one (-1: none).
  static constexpr int index_of(std::uint32_t offset) {
    for (std::uint32_t i = 0; i < Count; ++i)
      if (At(i) == offset) return static_cast<int>(i);
    return -1;
  }
};

template <class R>
concept Readable = R::access != Access::write_only;
template <class R>
concept Writable = R::access != Access::read_only&& R::access != Access::read_clears;

// A mapped register that is written often: one store, no look-up. Falls back to the trap when the page is not mapped.
class Bar;
class Doorbell {
 public:
  Doorbell() = default;
  inline void ring(std::uint32_t value) const noexcept;
  inline std::uint32_t read() const noexcept;

 private:
  friend class Bar;
  volatile std::uint32_t* mapped_ = nullptr;
  Bar* bar_ = nullptr;
  std::uint32_t offset_ = 0;
};

// One base address register of a function: 32-bit little-endian accesses, through mapped pages where the device offers
// them and through the trap elsewhere; the caller need not care. A device that is gone reads as all ones (as PCI does)
// and swallows writes; PciFunction::alive() tells. Accesses are safe from several threads; ordering between threads is
// the caller's business. Offsets out of range are an invariant of the register tables and abort.
class Bar {
 public:
  // How accesses outside mapped windows reach the device.
  class Trap {
   public:
    virtual ~Trap() = default;
    virtual std::uint32_t read32(std::uint32_t offset) noexcept = 0;
    virtual void write32(std::uint32_t offset, std::uint32_t value) noexcept = 0;
  };
  struct Window {
    std::uint32_t offset;
    std::span<std::byte> memory;  // valid as long as the Bar
  };

  // Neither trap nor windows are owned.
  Bar(std::uint32_t size, Trap& trap, std::vector<Window> windows = {})
      : size_(size), trap_(&trap), windows_(std::move(windows)) {}

  template <Readable R>
  std::uint32_t read(const R& reg, std::uint32_t i = 0) const noexcept {
    return load(reg.at(i));
  }
  template <Writable R>
  void write(const R& reg, std::uint32_t value) noexcept requires(R::count == 1) {
    store(reg.at(0), value);
  }
  template <Writable R>
  void write(const R& reg, std::uint32_t i, std::uint32_t value) noexcept {
    store(reg.at(i), value);
  }
  template <class R>
  requires(Readable<R>&& Writable<R>) void set(const R& reg, std::uint32_t i, std::uint32_t bits) noexcept {
    store(reg.at(i), load(reg.at(i)) | bits);
  }
  template <class R>
  requires(Readable<R>&& Writable<R>) void clear(const R& reg, std::uint32_t i, std::uint32_t bits) noexcept {
    store(reg.at(i), load(reg.at(i)) & ~bits);
  }
  template <Writable R>
  Doorbell doorbell(const R& reg, std::uint32_t i = 0) noexcept {
    Doorbell d;
    d.mapped_ = word(reg.at(i));
    d.bar_ = this;
    d.offset_ = reg.at(i);
    return d;
  }

  std::uint32_t size() const noexcept { return size_; }
  // Raw access by offset, for register dumps and for the table-driven code inside hw/.
  std::uint32_t load(std::uint32_t offset) const noexcept {
    if (volatile std::uint32_t* p = word(offset)) return *p;
    return trap_->read32(offset);
  }
  void store(std::uint32_t offset, std::uint32_t value) noexcept {
    if (volatile std::uint32_t* p = word(offset)) {
      *p = value;
    } else {
      trap_->write32(offset, value);
    }
  }

 private:
  friend class Doorbell;
  volatile std::uint32_t* word(std::uint32_t offset) const noexcept {
    check(offset % 4 == 0 && size_ >= 4 && offset <= size_ - 4);
    for (const Window& w : windows_) {
      if (offset >= w.offset && offset - w.offset <= w.memory.size() - 4) {
        // SAFETY: the window maps device memory for the life of *this; the offset was checked on the line above.
        return reinterpret_cast<volatile std::uint32_t*>(w.memory.data() + (offset - w.offset));
      }
    }
    return nullptr;
  }

  std::uint32_t size_;
  Trap* trap_;
  std::vector<Window> windows_;
};

inline void Doorbell::ring(std::uint32_t value) const noexcept {
  if (mapped_ != nullptr) {
    *mapped_ = value;
  } else {
    bar_->trap_->write32(offset_, value);
  }
}

inline std::uint32_t Doorbell::read() const noexcept {
  return mapped_ != nullptr ? *mapped_ : bar_->trap_->read32(offset_);
}

}  // namespace vigia::hw
