// SPDX-License-Identifier: Apache-2.0
// BAR0 of a VF: a window on registers of the PF (reference 12) and the VF's own queue pages.
#include <array>
#include <atomic>

#include "hw/ixgbe/regs_vf.h"
#include "softnic/function_base.h"

namespace vigia::softnic {

using namespace hw::ixgbe;

namespace {

constexpr std::uint32_t kNowhere = ~0u;
constexpr std::uint32_t kBlockBytes = 0x40;

RegionLayout layout(Chip& chip, unsigned vf, bool map) {
  RegionLayout bar{vf::kBarSize, -1, {}};
  if (map) {
    bar.mmap_fd = chip.pages[vf].fd();
    bar.mappable = {{vf_rx_page, vf_page_bytes}, {vf_tx_page, vf_page_bytes}};
  }
  return bar;
}

// Where the register of VF v at this offset below the queue pages lies in the register file.
std::uint32_t translate(unsigned v, std::uint32_t offset) {
  if (const int i = vf::VFMBMEM.index_of(offset); i >= 0) return pf::PFMBMEM.at(16 * v + static_cast<unsigned>(i));
  if (const int i = vf::VTIVAR.index_of(offset); i >= 0) {
    return i == 0 ? pf::VTIVAR.at(v) : internal::VTIVAR_123.at(3 * v + static_cast<unsigned>(i) - 1);
  }
  if (const int i = vf::VTEITR.index_of(offset); i >= 0) return internal::VTEITR.at(3 * v + static_cast<unsigned>(i));
  struct Row {
    std::uint32_t vf, pf;
  };
  const std::array rows{Row{vf::VFCTRL.at(), pf::VFCTRL.at(v)},
                        Row{vf::VFSTATUS.at(), pf::STATUS.at()},
                        Row{vf::VFLINKS.at(), pf::LINKS.at()},
                        Row{vf::VFFRTIMER.at(), pf::FRTIMER.at()},
                        Row{vf::VTEICR.at(), pf::VTEICR.at(v)},
                        Row{vf::VTEICS.at(), pf::VTEICS.at(v)},
                        Row{vf::VTEIMS.at(), pf::VTEIMS.at(v)},
                        Row{vf::VTEIMC.at(), pf::VTEIMC.at(v)},
                        Row{vf::VTEIAC.at(), pf::VTEIAC.at(v)},
                        Row{vf::VTEIAM.at(), pf::VTEIAM.at(v)},
                        Row{vf::VTIVAR_MISC.at(), pf::VTIVAR_MISC.at(v)},
                        Row{vf::VFPSRTYPE.at(), pf::PSRTYPE.at(v)}};
  for (const Row& row : rows) {
    if (row.vf == offset) return row.pf;
  }
  return kNowhere;
}

bool counter(std::uint32_t offset) {
  for (const std::uint32_t at : {vf::VFGPRC.at(), vf::VFGORC_LSB.at(), vf::VFGORC_MSB.at(), vf::VFMPRC.at(),
                                 vf::VFGPTC.at(), vf::VFGOTC_LSB.at(), vf::VFGOTC_MSB.at()}) {
    if (at == offset) return true;
  }
  return false;
}

}  // namespace

VfFunction::VfFunction(Chip& chip, unsigned vf, bool map)
    : FunctionBase(chip, *chip.vf_cores[vf], layout(chip, vf, map), 3), vf_(vf) {}

// A register of a queue that this VF has. Registers of missing queues are reserved.
bool VfFunction::queue_register(std::uint32_t offset) const {
  if (counter(offset)) return false;
  const std::uint32_t queue = (offset % vf_page_bytes) / kBlockBytes, member = offset % kBlockBytes;
  if (queue >= chip_.queues_per_pool()) return false;
  const std::uint32_t first = offset - member;
  const RegisterFile::Hit hit =
      chip_.registers.classify(offset < vf_tx_page ? pf::RDBAL.at(0) + member : pf::TDBAL.at(0) + member);
  return first >= vf_rx_page && (hit.effect == Effect::rx_ring || hit.effect == Effect::tx_ring);
}

std::uint32_t VfFunction::read_register(std::uint32_t offset) {
  // A read of any register makes earlier writes to the mapped pages effective, as PCI ordering does.
  chip_.sync_vf(vf_);
  if (offset >= vf_rx_page && offset < vf_tx_page + vf_page_bytes) {
    return counter(offset) || queue_register(offset) ? RegisterFile::load(chip_.pages[vf_].word(offset)) : 0;
  }
  if (offset == vf::VFMAILBOX.at()) return chip_.mailboxes->vf_read(vf_);
  if (offset == vf::VFFRTIMER.at()) return static_cast<std::uint32_t>(chip_.now_ns / 1000);
  const std::uint32_t at = translate(vf_, offset);
  return at != kNowhere ? chip_.registers.read(at) : 0;
}

void VfFunction::write_queue_register(std::uint32_t offset, std::uint32_t value) {
  if (!queue_register(offset)) return;
  const std::uint32_t member = offset % kBlockBytes;
  std::uint32_t* const word = chip_.pages[vf_].word(offset);
  const bool base = member == 0;  // RDBAL and TDBAL: 128-byte aligned
  // Release: what this client stored before, descriptors above all, is there for whoever takes the new value.
  std::atomic_ref(*word).store(base ? value & ~0x7fu : value, std::memory_order_release);
  if (!chip_.vt_enabled()) return;
  const unsigned queue = vf_ * chip_.queues_per_pool() + (offset % vf_page_bytes) / kBlockBytes;
  if (offset < vf_tx_page) {
    chip_.sync_rx(queue);
  } else {
    chip_.sync_tx(queue);
  }
}

void VfFunction::write_register(std::uint32_t offset, std::uint32_t value) {
  chip_.sync_vf(vf_);
  if (offset >= vf_rx_page && offset < vf_tx_page + vf_page_bytes) return write_queue_register(offset, value);
  if (offset == vf::VFMAILBOX.at()) return chip_.mailboxes->vf_write(vf_, value);
  const std::uint32_t at = translate(vf_, offset);
  if (at == kNowhere) return;
  const RegisterFile::Hit hit = chip_.registers.classify(at);
  switch (hit.effect) {
    case Effect::vf_control:
      if ((value & Ctrl::rst) != 0) chip_.reset_vf(vf_);
      return;
    case Effect::vf_interrupt_mask:
      chip_.registers.write(at, value);
      return chip_.interrupts->vf_unmasked(vf_);
    case Effect::vf_interrupt_cause:
      return chip_.interrupts->raise_vf(vf_, value);
    case Effect::filters:
      chip_.registers.write(at, value);
      chip_.filters_dirty = true;
      return;
    default:
      chip_.registers.write(at, value);  // STATUS and LINKS are read-only by their row
  }
}

void VfFunction::reset_function() { chip_.reset_vf(vf_); }

void VfFunction::config_wish(const ConfigSpace::Wish& wish) {
  if (wish.bus_master_lost) chip_.disable_vf_traffic(vf_);
}

}  // namespace vigia::softnic
