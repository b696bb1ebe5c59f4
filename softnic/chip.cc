// SPDX-License-Identifier: Apache-2.0
#include "softnic/chip.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <utility>

#include "hw/ixgbe/regs_vf.h"
#include "hw/log.h"
#include "softnic/filter_decode.h"

namespace vigia::softnic {

namespace pf = hw::ixgbe::pf;
namespace vf = hw::ixgbe::vf;

namespace {

void keep(QueueSet& set, unsigned queue, bool on) {
  const std::uint64_t bit = std::uint64_t{1} << queue % 64;
  if (on) {
    set[queue / 64] |= bit;
  } else {
    set[queue / 64] &= ~bit;
  }
}

}  // namespace

Result<VfPages> VfPages::create(const std::string& name) {
  Fd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), vf::kBarSize) != 0) return os_error("create register pages of " + name);
  // A client holds the descriptor too: it must not shrink the file under our mapping.
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return os_error("seal register pages of " + name);
  }
  void* const memory = ::mmap(nullptr, vf::kBarSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return os_error("map register pages of " + name);
  VfPages pages(std::move(fd), static_cast<std::uint32_t*>(memory));
  using namespace hw::ixgbe;
  for (unsigned q = 0; q < vf::kMaxQueues; ++q) {
    *pages.word(vf::VFSRRCTL.at(q)) = kSrrctlReset;
    *pages.word(vf::VFDCA_RXCTRL.at(q)) = DcaRxctrl::must_clear;
  }
  return pages;
}

VfPages::VfPages(VfPages&& other) noexcept : fd_(std::move(other.fd_)), words_(std::exchange(other.words_, nullptr)) {}

VfPages::~VfPages() {
  if (words_ != nullptr) ::munmap(words_, vf::kBarSize);
}

Result<std::unique_ptr<Chip>> Chip::create(unsigned vfs) {
  std::unique_ptr<Chip> chip(new Chip);
  chip->pf_core = std::make_unique<FunctionCore>("pf", ConfigSpace::physical(vfs), pf::kMsixVectors);
  std::vector<Msix*> vectors;
  for (unsigned v = 0; v < vfs; ++v) {
    const std::string name = "vf" + std::to_string(v);
    auto pages = VfPages::create(name);
    if (!pages) return pages.error();
    chip->pages.push_back(std::move(*pages));
    chip->vf_cores.push_back(std::make_unique<FunctionCore>(name, ConfigSpace::virtual_function(), vf::kMsixVectors));
    vectors.push_back(&chip->vf_cores.back()->msix);
  }
  chip->interrupts = std::make_unique<Interrupts>(chip->registers, chip->pf_core->msix, std::move(vectors));
  chip->mailboxes = std::make_unique<Mailboxes>(chip->registers, *chip->interrupts);
  for (unsigned q = 0; q < pf::kQueues; ++q) chip->bind_queue(q);
  return chip;
}

bool Chip::vt_enabled() const { return (registers.get(pf::PFVTCTL) & hw::ixgbe::Pfvtctl::vt_ena) != 0; }

int Chip::vf_of(unsigned queue) const {
  if (!vt_bound_) return -1;
  const unsigned pool = queue / queues_per_pool_;
  return pool < vfs() ? static_cast<int>(pool) : -1;
}

void Chip::bind_queue(unsigned queue) {
  const int v = vf_of(queue);
  FunctionCore* owner = pf_core.get();
  std::uint32_t *rx_block = nullptr, *tx_block = nullptr;
  if (v >= 0) {
    const auto index = static_cast<std::size_t>(v);
    owner = vf_cores[index].get();
    rx_block = pages[index].rx_block(queue % queues_per_pool_);
    tx_block = pages[index].tx_block(queue % queues_per_pool_);
  }
  registers.bind_rx(queue, rx_block);
  registers.bind_tx(queue, tx_block);
  rx[queue].bind(queue, registers.rx_block(queue), owner);
  tx[queue].bind(queue, registers.tx_block(queue), owner);
  keep(rx_enabled, queue, false);
  keep(tx_enabled, queue, false);
}

void Chip::rebind_queues() {
  const bool vt = vt_enabled();
  const unsigned per_pool = softnic::queues_per_pool(registers);
  if (vt == vt_bound_ && per_pool == queues_per_pool_) return;
  for (unsigned q = 0; q < pf::kQueues; ++q) {
    rx[q].stop();
    tx[q].stop();
  }
  vt_bound_ = vt;
  queues_per_pool_ = per_pool;
  for (unsigned q = 0; q < pf::kQueues; ++q) bind_queue(q);
}

void Chip::sync_rx(unsigned queue) {
  rx[queue].sync((registers.get(internal::QDE, queue) & hw::ixgbe::Pfqde::qde) != 0);
  keep(rx_enabled, queue, rx[queue].enabled());
}

void Chip::sync_tx(unsigned queue) {
  tx[queue].sync();
  keep(tx_enabled, queue, tx[queue].enabled());
}

void Chip::sync_vf(unsigned v) {
  if (!vt_bound_) return;
  for (unsigned q = v * queues_per_pool_; q < (v + 1) * queues_per_pool_ && q < pf::kQueues; ++q) {
    sync_rx(q);
    sync_tx(q);
  }
}

void Chip::reset_pf() {
  for (unsigned q = 0; q < pf::kQueues; ++q) {
    rx[q].stop();
    tx[q].stop();
    tx[q].limit(0);
  }
  rx_enabled = tx_enabled = {};
  if (before_reset) before_reset();
  registers.reset();
  rebind_queues();
  interrupts->reset_pf();
  mailboxes->pf_reset();
  update_status();
  filters_dirty = true;
}

void Chip::reset_vf(unsigned v) {
  if (vt_bound_) {
    for (unsigned q = v * queues_per_pool_; q < (v + 1) * queues_per_pool_ && q < pf::kQueues; ++q) {
      rx[q].stop();
      tx[q].stop();
      keep(rx_enabled, q, false);
      keep(tx_enabled, q, false);
    }
  }
  disable_vf_traffic(v);
  interrupts->reset_vf(v);
  mailboxes->vf_reset(v);
  const std::uint32_t word = v / 32;
  registers.set(pf::PFVFLRE, word, registers.get(pf::PFVFLRE, word) | 1u << v % 32);
  // Drivers look for VFLR on the mailbox cause; PFMBIMR does not mask it.
  interrupts->raise_pf(hw::ixgbe::Eicr::mailbox);
}

void Chip::disable_vf_traffic(unsigned v) {
  const std::uint32_t word = v / 32, bit = 1u << v % 32;
  registers.set(pf::PFVFRE, word, registers.get(pf::PFVFRE, word) & ~bit);
  registers.set(pf::PFVFTE, word, registers.get(pf::PFVFTE, word) & ~bit);
  filters_dirty = true;
}

void Chip::publish_vf_counters(unsigned v) {
  const auto copy = [&](std::uint32_t to, std::uint32_t from) {
    RegisterFile::store(pages[v].word(to), registers.peek(from));
  };
  copy(vf::VFGPRC.at(), pf::VFGPRC.at(v));
  copy(vf::VFGORC_LSB.at(), pf::VFGORC_LSB.at(v));
  copy(vf::VFGORC_MSB.at(), pf::VFGORC_MSB.at(v));
  copy(vf::VFMPRC.at(), pf::VFMPRC.at(v));
  copy(vf::VFGPTC.at(), pf::VFGPTC.at(v));
  copy(vf::VFGOTC_LSB.at(), pf::VFGOTC_LSB.at(v));
  copy(vf::VFGOTC_MSB.at(), pf::VFGOTC_MSB.at(v));
}

void Chip::update_status() {
  using namespace hw::ixgbe;
  std::uint32_t status =
      registers.get(pf::STATUS) & ~(Status::primary_enable | Status::num_vfs_mask | Status::iov_active);
  if ((registers.get(pf::CTRL) & Ctrl::primary_disable) == 0) status |= Status::primary_enable;
  if (pf_core->config.vfs_enabled()) {
    status |= Status::iov_active;
    status |= std::uint32_t{pf_core->config.num_vfs()} << Status::num_vfs_shift & Status::num_vfs_mask;
  }
  registers.set(pf::STATUS, 0, status);
}

}  // namespace vigia::softnic
