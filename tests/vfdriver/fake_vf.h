// SPDX-License-Identifier: Apache-2.0
// A scripted VF of the 82599 or 82576 kind for driver tests: registers behind a trap, mailbox bits as section 11 of the
// 82599 reference has them, and a PF that answers, refuses, or keeps silent as told. Single-threaded: the PF acts when
// the VF looks.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hw/igb/bits.h"
#include "hw/igb/regs_vf.h"
#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/mailbox.h"
#include "hw/ixgbe/regs_vf.h"
#include "hw/pci_function.h"

namespace vigia::vf::test {

namespace mbx = hw::ixgbe::mbx;
namespace reg = hw::ixgbe::vf;

// The PF's part of the mailbox. Answers like a Linux PF unless told otherwise.
struct FakePf {
  bool acknowledges = true;
  bool replies = true;
  bool holds_lock = false;
  bool clear_to_send = false;
  mbx::Api highest = mbx::Api::v1_5;
  bool knows_any_api = true;
  std::optional<hw::Mac> mac = hw::Mac{{2, 0, 0, 0, 0, 1}};
  unsigned queues = 2;
  std::map<mbx::Id, bool> refuses;
  // Replaces the answer to one id.
  std::map<mbx::Id, std::function<mbx::Message(const mbx::Message&)>> instead;
  std::deque<mbx::Message> outbox;  // what the PF wants to say next, unasked things included
  std::vector<mbx::Message> heard;

  mbx::Message answer(const mbx::Message& m) {
    heard.push_back(m);
    const mbx::Id id = mbx::id_of(m[0]);
    if (const auto it = instead.find(id); it != instead.end()) return it->second(m);
    if (id == mbx::Id::reset) {
      clear_to_send = true;
      mbx::Message r{mbx::word0(id) | (mac ? mbx::kSuccess : mbx::kFailure)};
      if (mac) mbx::put_mac(r, *mac);
      return r;
    }
    mbx::Message r = m;
    if (!clear_to_send) {
      r[0] |= mbx::kFailure;
      return r;
    }
    bool good = !refuses[id];
    if (id == mbx::Id::api_negotiate) {
      good = good && knows_any_api && mbx::at_least(highest, static_cast<mbx::Api>(m[1]));
    }
    if (id == mbx::Id::get_queues) mbx::put_queues(r, {queues, queues, 0, 0});
    if (id == mbx::Id::get_link_state) r[1] = 1;
    r[0] |= mbx::kCts | (good ? mbx::kSuccess : mbx::kFailure);
    return r;
  }
};

// Where the registers with a behaviour are.
struct FakeMap {
  std::uint32_t control, words, ctrl, status, links;
  int (*rx_queue_of)(std::uint32_t offset);  // of RXDCTL; -1: another register
};
inline const FakeMap k82599{reg::VFMAILBOX.at(), reg::VFMBMEM.at(),
                            reg::VFCTRL.at(),    reg::VFSTATUS.at(),
                            reg::VFLINKS.at(),   [](std::uint32_t offset) {
                                  return reg::VFRXDCTL.index_of(offset); }};
// links: its STATUS has them, so what reads as links is a register that nobody reads.
inline const FakeMap k82576{
    hw::igb::vf::V2PMAILBOX.at(), hw::igb::vf::VMBMEM.at(),
    hw::igb::vf::CTRL.at(),       hw::igb::vf::STATUS.at(),
    hw::igb::vf::FRTIMER.at(),    [](std::uint32_t offset) {
                                  return hw::igb::vf::RXDCTL.index_of(offset); }};

class FakeVf : public hw::Bar::Trap {
 public:
  explicit FakeVf(const FakeMap& map = k82599) : map_(map) {}

  FakePf pf;
  bool gone = false;            // all ones, as a dead device
  bool rsti = false;            // PF in reset
  bool queue_stuck_on = false;  // ENABLE never clears
  bool queue_refuses = false;   // ENABLE never sets
  std::uint32_t links = hw::ixgbe::Links::up | hw::ixgbe::Links::speed_10g;
  int reset_count = 0;
  int flushes = 0;
  std::vector<std::string> violations;            // of the mailbox's locking rules
  std::map<std::uint32_t, std::uint32_t> memory;  // every register without a behaviour
  std::function<void(std::uint32_t, std::uint32_t)> on_write;

  void set_rstd() { bits_ |= mbx::VfBit::rstd; }
  void restart_pf() {
    pf.clear_to_send = false;
    bits_ = mbx::VfBit::rstd;
    vfu_ = false;
  }
  bool keeps_lock_seen() const { return kept_lock_; }
  unsigned acks() const { return acks_; }

  std::uint32_t read32(std::uint32_t offset) noexcept override {
    if (gone) return ~0u;
    if (offset == map_.control) return read_mailbox();
    if (offset == map_.status) ++flushes;
    if (offset == map_.links) return links;
    if (map_.rx_queue_of(offset) >= 0) {
      if (queue_stuck_on) return hw::ixgbe::Rxdctl::enable;
      if (queue_refuses) return memory[offset] & ~hw::ixgbe::Rxdctl::enable;
    }
    return memory[offset];
  }

  void write32(std::uint32_t offset, std::uint32_t value) noexcept override {
    if (gone) return;
    if (offset == map_.control) return write_mailbox(value);
    if (offset == map_.ctrl && (value & hw::ixgbe::Ctrl::rst) != 0) reset();
    if (offset >= map_.words && offset < map_.words + 4 * mbx::kWords && !vfu_)
      violations.push_back("buffer written without VFU");
    memory[offset] = value;
    if (on_write) on_write(offset, value);
  }

  std::uint32_t get(std::uint32_t offset) { return memory[offset]; }

 private:
  void reset() {
    ++reset_count;
    bits_ = 0;
    vfu_ = false;
    requested_ = false;
    pf.clear_to_send = false;
    pf.outbox.clear();
    unread_ = false;
  }

  std::uint32_t read_mailbox() {
    act();
    const std::uint32_t value =
        bits_ | (vfu_ ? mbx::VfBit::vfu : 0) | (pf.holds_lock ? mbx::VfBit::pfu : 0) | (rsti ? mbx::VfBit::rsti : 0);
    bits_ &= ~mbx::VfBit::read_to_clear;
    return value;
  }

  void write_mailbox(std::uint32_t value) {
    vfu_ = (value & mbx::VfBit::vfu) != 0 && !pf.holds_lock;
    if ((value & mbx::VfBit::req) != 0) {
      requested_ = true;
      kept_lock_ = vfu_;
    }
    if ((value & mbx::VfBit::ack) != 0) {
      ++acks_;
      unread_ = false;
    }
  }

  void act() {
    if (requested_ && pf.acknowledges) {
      requested_ = false;
      mbx::Message m{};
      for (unsigned i = 0; i < mbx::kWords; ++i) m[i] = memory[map_.words + 4 * i];
      bits_ |= mbx::VfBit::pfack;
      const mbx::Message reply = pf.answer(m);
      if (pf.replies) pf.outbox.push_back(reply);
      return;  // the reply comes at a later look
    }
    if (pf.outbox.empty() || vfu_ || unread_ || requested_) return;
    for (unsigned i = 0; i < mbx::kWords; ++i) memory[map_.words + 4 * i] = pf.outbox.front()[i];
    pf.outbox.pop_front();
    bits_ |= mbx::VfBit::pfsts;
    unread_ = true;
  }

  const FakeMap map_;
  std::uint32_t bits_ = 0;  // read-to-clear ones
  bool vfu_ = false, requested_ = false, unread_ = false, kept_lock_ = false;
  unsigned acks_ = 0;
};

// A PCI function around a FakeVf that the test owns.
class FakeFunction final : public hw::PciFunction {
 public:
  explicit FakeFunction(FakeVf& vf, std::uint32_t bar_size = reg::kBarSize) : vf_(vf), bar_(bar_size, vf) {
    for (int& fd : eventfds_) fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  }
  ~FakeFunction() override {
    for (const int fd : eventfds_) ::close(fd);
  }

  static constexpr hw::Iova kIova{0x1'0000'0000};
  std::span<std::byte> dma;  // what was mapped last

  const std::string& name() const override { return name_; }
  hw::PciId id() const override { return hw::ixgbe::kVfId; }
  Result<hw::Bar*> map_bar(unsigned) override { return &bar_; }
  Result<hw::Iova> map_dma(const hw::DmaMemory& memory) override {
    dma = memory.bytes();
    return kIova;
  }
  Result<Done> unmap_dma(hw::Iova, std::size_t) override { return Done{}; }
  Result<std::vector<int>> enable_msix(unsigned count) override {
    if (msix_error) return *msix_error;
    return std::vector<int>(eventfds_.begin(), eventfds_.begin() + count);
  }
  Result<Done> disable_msix() override { return Done{}; }
  Result<std::uint32_t> config_read(std::uint32_t, unsigned) override {
    if (vf_.gone) return work_error("read configuration space of fake:vf0: gone");
    return command_;
  }
  Result<Done> config_write(std::uint32_t, unsigned, std::uint32_t value) override {
    command_ = value;
    return Done{};
  }
  Result<Done> reset() override {
    ++resets;
    return Done{};
  }
  bool alive() const noexcept override { return !vf_.gone; }

  std::uint32_t command() const { return command_; }
  void ring(unsigned vector) { ::eventfd_write(eventfds_[vector], 1); }
  std::optional<Error> msix_error;
  int resets = 0;

 private:
  FakeVf& vf_;
  hw::Bar bar_;
  std::string name_ = "fake:vf0";
  std::array<int, 3> eventfds_{-1, -1, -1};
  std::uint32_t command_ = 0;
};

}  // namespace vigia::vf::test
