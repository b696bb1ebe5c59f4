// SPDX-License-Identifier: Apache-2.0
#include "softnic/sfp_module.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace vigia::softnic {
namespace {

constexpr std::uint8_t kAddress = 0xA0, kReadBit = 1;
constexpr unsigned kByteBits = 8;

using Memory = std::array<std::uint8_t, 256>;

constexpr void put(Memory& m, std::size_t at, std::size_t width, std::string_view text) {
  for (std::size_t i = 0; i < width; ++i) m[at + i] = i < text.size() ? static_cast<std::uint8_t>(text[i]) : ' ';
}

constexpr std::uint8_t sum(const Memory& m, std::size_t from, std::size_t to) {
  unsigned total = 0;
  for (std::size_t i = from; i < to; ++i) total += m[i];
  return static_cast<std::uint8_t>(total);
}

// SFF-8472, table 4-1.
constexpr Memory make_memory() {
  Memory m{};
  m[0] = 0x03;   // SFP or SFP+
  m[1] = 0x04;   // identified by this memory alone
  m[2] = 0x07;   // LC connector
  m[3] = 0x10;   // 10GBASE-SR
  m[11] = 0x06;  // 64B/66B
  m[12] = 103;   // 10.3 Gb/s
  m[19] = 30;    // 300 m of OM3
  put(m, 20, 16, "vigia");
  put(m, 40, 16, "softnic-SR");
  put(m, 56, 4, "1");
  m[60] = 850 >> 8;  // nm
  m[61] = 850 & 0xff;
  m[63] = sum(m, 0, 63);
  put(m, 68, 16, "0");
  put(m, 84, 8, "260101");
  m[95] = sum(m, 64, 95);
  return m;
}

constexpr Memory kMemory = make_memory();

}  // namespace

std::uint8_t SfpModule::content(std::uint8_t address) { return kMemory[address]; }

void SfpModule::drive(bool clock, bool data) {
  const bool was_high = clock_, data_was = master_data_;
  clock_ = clock;
  master_data_ = data;
  if (was_high && clock) {  // data moves under a high clock: a start or a stop
    if (data_was == data) return;
    own_data_ = true;
    bits_ = 0;
    byte_ = 0;
    addressed_ = false;
    phase_ = data ? Phase::idle : Phase::receive;
  } else if (!was_high && clock) {
    clock_rises(data);
  } else if (was_high) {
    clock_falls();
  }
}

void SfpModule::clock_rises(bool data) {
  if (phase_ == Phase::receive) {
    byte_ = static_cast<std::uint8_t>(byte_ << 1 | (data ? 1 : 0));
    ++bits_;
  } else if (phase_ == Phase::await_acknowledge) {
    acknowledged_ = !data;
  }
}

void SfpModule::clock_falls() {
  switch (phase_) {
    case Phase::idle:
      return;
    case Phase::receive:
      if (bits_ == kByteBits) take_byte();
      return;
    case Phase::acknowledge:
      return begin_byte();
    case Phase::send:
      own_data_ = bits_ == kByteBits || (byte_ >> (kByteBits - 1 - bits_) & 1) != 0;
      if (bits_++ == kByteBits) phase_ = Phase::await_acknowledge;
      return;
    case Phase::await_acknowledge:
      if (acknowledged_) return begin_byte();
      phase_ = Phase::idle;
      return;
  }
}

void SfpModule::take_byte() {
  if (!addressed_) {
    if ((byte_ & ~kReadBit) != kAddress) {  // somebody else's address: nobody pulls the line
      phase_ = Phase::idle;
      return;
    }
    addressed_ = true;
    reading_ = (byte_ & kReadBit) != 0;
    offset_next_ = !reading_;
  } else if (offset_next_) {
    offset_ = byte_;
    offset_next_ = false;
  }  // else data to write, which a read-only memory acknowledges and forgets
  own_data_ = false;
  phase_ = Phase::acknowledge;
}

void SfpModule::begin_byte() {
  bits_ = 0;
  byte_ = 0;
  own_data_ = true;
  phase_ = Phase::receive;
  if (!reading_) return;
  byte_ = kMemory[offset_++];
  phase_ = Phase::send;
  clock_falls();  // the first bit
}

}  // namespace vigia::softnic
