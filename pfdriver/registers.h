// SPDX-License-Identifier: Apache-2.0
// The registers that desired state decides, as one table in the order in which they are written, and an image of them.
// Everything that a VF or a tap can change is here; what only bring-up writes is not. Facts: 82599 reference 4, 5,
// 7, 9.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hw/mmio.h"

namespace vigia::pf {

// In writing order: addresses before VLANs before enables; mirror masks before mirror control, which comes last, so
// that a rule is never active with half of its masks.
enum class Field : std::uint8_t {
  hlreg0,
  maxfrs,
  mpsar,
  ral,
  rah,
  vlvfb,
  vlvf,
  vfta,
  vmvir,
  vmolr,
  mcstctrl,
  mta,
  queue_drop,
  spoof,
  vmecm,
  queue_rate,
  gswc,
  vtctl,
  vlnctrl,
  fctrl,
  vfte,
  vfre,
  mrvm,
  mrvlan,
  mrctl,
};
constexpr unsigned kFields = static_cast<unsigned>(Field::mrctl) + 1;

struct FieldInfo {
  std::string_view name;     // as in the datasheet
  std::string_view meaning;  // what it decides, for the plan
  std::uint32_t count;
  std::uint32_t mask;  // the bits that are desired state's; the others are kept as they are
  std::uint32_t (*read)(hw::Bar&, std::uint32_t);
  void (*write)(hw::Bar&, std::uint32_t, std::uint32_t);
};
const FieldInfo& info(Field field);

// One register of the table.
struct Cell {
  Field field;
  std::uint16_t index;
  friend bool operator==(const Cell&, const Cell&) = default;
  std::string name() const;  // "PFMRCTL[2]"
};

// The owned bits of a register, and writing them with the others kept. Registers behind a selector (PFQDE, RTTBCNRC)
// take two accesses, so both must come from one thread.
std::uint32_t read_cell(hw::Bar& bar, Cell cell);
void write_cell(hw::Bar& bar, Cell cell, std::uint32_t value);

// The owned bits of every register of the table. Plain data; all zero at birth, which is what bring-up leaves but for
// the PF's own address.
class Image {
 public:
  Image();
  std::uint32_t& at(Field field, std::uint32_t index = 0) { return values_[position(field, index)]; }
  std::uint32_t at(Field field, std::uint32_t index = 0) const { return values_[position(field, index)]; }

  // Pairs of registers that hold one bit per pool (or per VLAN entry): words at first and first + stride.
  void set_bit(Field field, std::uint32_t first, std::uint32_t stride, unsigned bit);
  std::uint64_t pair(Field field, std::uint32_t first, std::uint32_t stride) const;

  friend bool operator==(const Image&, const Image&) = default;

 private:
  static std::size_t position(Field field, std::uint32_t index);
  std::vector<std::uint32_t> values_;
};

// Reads all of it from the device: about 1500 registers.
Image read_image(hw::Bar& bar);
// Re-reads the registers that the device itself changes (a VF's reset clears its enables).
void refresh_enables(hw::Bar& bar, Image& image);

// One write that turns current state into desired state.
struct Change {
  Cell cell;
  std::uint32_t before = 0, after = 0;
  friend bool operator==(const Change&, const Change&) = default;
};

// The writes that turn one image into the other, in the order of the table. A mirror rule whose masks, or whose VLAN
// entries, change is switched off first; RAR 0 is rewritten after a change of MPSAR, as the device wants it.
std::vector<Change> difference(const Image& current, const Image& desired);

}  // namespace vigia::pf
