// SPDX-License-Identifier: Apache-2.0
// The optical module in the port's cage, as drivers see it: an I2C memory (SFF-8472, address 0xA0) whose two lines they
// move by hand in I2CCTL.
#pragma once

#include <cstdint>

namespace vigia::softnic {

class SfpModule {
 public:
  // The levels that the master gives the lines, each time they may have changed.
  void drive(bool clock, bool data);
  // The level of the data line: low when either side pulls it.
  bool data() const { return master_data_ && own_data_; }

  // The module's memory: a 10GBASE-SR module.
  static std::uint8_t content(std::uint8_t address);

 private:
  enum class Phase : std::uint8_t { idle, receive, acknowledge, send, await_acknowledge };
  void clock_rises(bool data);
  void clock_falls();
  void take_byte();
  void begin_byte();

  Phase phase_ = Phase::idle;
  bool clock_ = true, master_data_ = true, own_data_ = true;
  bool addressed_ = false, reading_ = false, acknowledged_ = false, offset_next_ = false;
  unsigned bits_ = 0;
  std::uint8_t byte_ = 0, offset_ = 0;
};

}  // namespace vigia::softnic
