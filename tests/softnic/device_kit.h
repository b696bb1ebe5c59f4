// SPDX-License-Identifier: Apache-2.0
// A Device in this process: a PF driver of a few lines, VF drivers with real rings, a wire made of frames. For tests,
// fuzzers and benchmarks of softnic.
#pragma once

#include <fcntl.h>

#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hw/dma_memory.h"
#include "hw/ixgbe/descriptor.h"
#include "hw/ixgbe/mailbox.h"
#include "hw/ixgbe/model.h"
#include "hw/ixgbe/regs_vf.h"
#include "softnic/device.h"

namespace vigia::softnic::kit {

namespace pf = hw::ixgbe::pf;
namespace vf = hw::ixgbe::vf;
using hw::ixgbe::RxDescriptor;
using hw::ixgbe::RxStatus::dd;

using Frame = std::vector<std::byte>;

// 02:00:00:00:00:01 belongs to VF 0 and so on.
inline hw::Mac mac_of(unsigned v) { return hw::Mac{{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(v + 1)}}; }
inline const hw::Mac kOutside{{0x02, 0x99, 0, 0, 0, 0x01}};
inline const hw::Mac kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

// An Ethernet frame with a running payload; EtherType 0x88B5 is for experiments, so it is no IP.
inline Frame make_frame(const hw::Mac& to, const hw::Mac& from, std::size_t bytes = 60, std::uint8_t mark = 0,
                        std::optional<std::uint16_t> tci = std::nullopt) {
  Frame f(bytes);
  for (std::size_t i = 0; i < bytes; ++i) f[i] = static_cast<std::byte>(mark + i);
  std::memcpy(f.data(), to.bytes.data(), 6);
  std::memcpy(f.data() + 6, from.bytes.data(), 6);
  std::size_t at = 12;
  if (tci) {
    f[at++] = std::byte{0x81};
    f[at++] = std::byte{0x00};
    f[at++] = static_cast<std::byte>(*tci >> 8);
    f[at++] = static_cast<std::byte>(*tci);
  }
  f[at] = std::byte{0x88};
  f[at + 1] = std::byte{0xB5};
  return f;
}

// Hands out the frames given, at the times given (0 without).
class ListWire : public Wire {
 public:
  ListWire(std::vector<Frame> frames, Rate::Kind kind, std::vector<std::uint64_t> times = {})
      : frames_(std::move(frames)), times_(std::move(times)), rate_{kind, 1.0} {}
  const WireFrame* next() noexcept override {
    if (at_ == frames_.size()) return nullptr;
    current_ = {frames_[at_], at_ < times_.size() ? times_[at_] : 0};
    ++counts_.frames;
    counts_.bytes += frames_[at_++].size();
    return &current_;
  }
  const WireCounts& counts() const noexcept override { return counts_; }
  const Rate& rate() const noexcept override { return rate_; }
  std::uint64_t total_frames() const noexcept override { return frames_.size(); }
  std::string describe() const override { return "list"; }

 private:
  std::vector<Frame> frames_;
  std::vector<std::uint64_t> times_;
  Rate rate_;
  WireCounts counts_;
  WireFrame current_{};
  std::size_t at_ = 0;
};

// Registers of a function by name, as a driver has them.
class Client {
 public:
  explicit Client(FunctionModel& model) : model_(&model) {}

  std::uint32_t load(std::uint32_t offset) {
    std::uint32_t value = 0;
    model_->region_read(0, offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void store(std::uint32_t offset, std::uint32_t value) {
    model_->region_write(0, offset, std::as_bytes(std::span(&value, 1)));
  }
  template <class R>
  std::uint32_t read(const R&, std::uint32_t i = 0) {
    return load(R::at(i));
  }
  template <class R>
  void write(const R&, std::uint32_t i, std::uint32_t value) {
    store(R::at(i), value);
  }
  template <class R>
  void set(const R& reg, std::uint32_t i, std::uint32_t bits) {
    write(reg, i, read(reg, i) | bits);
  }
  std::uint32_t config(std::uint32_t offset) {
    std::uint32_t value = 0;
    model_->region_read(7, offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void write_config16(std::uint32_t offset, std::uint16_t value) {
    model_->region_write(7, offset, std::as_bytes(std::span(&value, 1)));
  }
  void bus_master(bool on = true) { write_config16(4, on ? 6 : 2); }

  // Makes memory visible to the device.
  void map(const hw::DmaMemory& memory, std::uint64_t iova, bool writable = true) {
    auto done = model_->dma().map(static_cast<hw::Iova>(iova), memory.size(),
                                  Fd(::fcntl(memory.fd(), F_DUPFD_CLOEXEC, 0)), 0, true, writable);
    check(static_cast<bool>(done));
  }
  void unmap(const hw::DmaMemory& memory, std::uint64_t iova) {
    model_->dma_changed();
    auto done = model_->dma().unmap(static_cast<hw::Iova>(iova), memory.size());
    check(static_cast<bool>(done));
  }
  FunctionModel& model() { return *model_; }

 private:
  FunctionModel* model_;
};

inline hw::DmaMemory dma_memory(std::size_t bytes) {
  auto memory = hw::DmaMemory::allocate(bytes, "kit");
  check(static_cast<bool>(memory));
  return std::move(*memory);
}

struct Received {
  Frame bytes;
  std::uint64_t word0 = 0, word1 = 0;  // of the last descriptor
  unsigned descriptors = 0;
};

// A VF driver's receive side for one queue: ring, buffers, nothing else. Memory: ring first, then the buffers.
class RxRing {
 public:
  static constexpr std::uint64_t kIova = 0x1000'0000;

  RxRing(Client client, unsigned queue, std::uint32_t entries, std::uint32_t buffer_kib = 2, std::uint32_t srrctl = 0,
         std::uint32_t rxdctl = 0)
      : client_(client),
        queue_(queue),
        entries_(entries),
        buffer_bytes_(buffer_kib * 1024),
        iova_(kIova + 0x1000'0000ull * queue),
        memory_(dma_memory(ring_bytes() + std::size_t{entries} * buffer_bytes_)) {
    for (std::uint32_t i = 0; i < entries; ++i) arm(i);
    client_.bus_master();
    client_.map(memory_, iova_);
    client_.write(vf::VFRDBAL, queue, static_cast<std::uint32_t>(iova_));
    client_.write(vf::VFRDBAH, queue, 0);
    client_.write(vf::VFRDLEN, queue, entries * 16);
    client_.write(vf::VFRDH, queue, 0);
    client_.write(vf::VFRDT, queue, 0);
    client_.write(vf::VFSRRCTL, queue, buffer_kib | hw::ixgbe::Srrctl::desctype_advanced | srrctl);
    client_.write(vf::VFRXDCTL, queue, hw::ixgbe::Rxdctl::enable | rxdctl);
  }

  // Gives n descriptors to the device; at most entries - 1 may be out.
  void give(std::uint32_t n) {
    for (std::uint32_t i = 0; i < n; ++i, tail_ = (tail_ + 1) % entries_) arm(tail_);
    client_.write(vf::VFRDT, queue_, tail_);
  }
  // As give(), but the doorbell is a plain store into the page that a client maps.
  void give_mapped(std::uint32_t n, VfPages& pages) {
    for (std::uint32_t i = 0; i < n; ++i, tail_ = (tail_ + 1) % entries_) arm(tail_);
    // Release: descriptors before the doorbell. Pairs with RxQueue::sync().
    std::atomic_ref(*pages.word(vf::VFRDT.at(queue_))).store(tail_, std::memory_order_release);
  }
  void arm(std::uint32_t i) { *descriptor(i) = {buffer_iova(i), 0}; }

  // The next frame that the device has finished.
  std::optional<Received> take() {
    Received r;
    for (std::uint32_t at = next_;; at = (at + 1) % entries_) {
      RxDescriptor* const d = descriptor(at);
      // Acquire: the done bit first, the rest after it.
      const std::uint64_t word1 = std::atomic_ref(d->word1).load(std::memory_order_acquire);
      if ((word1 & dd) == 0) return std::nullopt;
      const std::size_t length = word1 >> hw::ixgbe::RxStatus::length_shift & 0xffff;
      const std::byte* const data = memory_.data() + ring_bytes() + std::size_t{at} * buffer_bytes_;
      r.bytes.insert(r.bytes.end(), data, data + length);
      ++r.descriptors;
      r.word0 = d->word0;
      r.word1 = word1;
      d->word1 = 0;
      if ((word1 & hw::ixgbe::RxStatus::eop) == 0) continue;
      next_ = (at + 1) % entries_;
      return r;
    }
  }
  std::vector<Received> take_all() {
    std::vector<Received> all;
    while (auto r = take()) all.push_back(std::move(*r));
    return all;
  }

  // Counts and re-arms what is done without looking at the bytes; for benchmarks.
  std::uint32_t recycle(VfPages& pages) {
    std::uint32_t n = 0;
    for (; n < entries_ / 2; ++n) {
      RxDescriptor* const d = descriptor(next_);
      // Acquire: as in take().
      if ((std::atomic_ref(d->word1).load(std::memory_order_acquire) & dd) == 0) break;
      arm(next_);
      next_ = (next_ + 1) % entries_;
    }
    if (n != 0) {
      tail_ = (tail_ + n) % entries_;
      // Release: descriptors before the doorbell.
      std::atomic_ref(*pages.word(vf::VFRDT.at(queue_))).store(tail_, std::memory_order_release);
    }
    return n;
  }

  RxDescriptor* descriptor(std::uint32_t i) {
    // SAFETY: the ring is at the start of page-aligned memory.
    return reinterpret_cast<RxDescriptor*>(memory_.data()) + i;
  }
  std::uint64_t buffer_iova(std::uint32_t i) const { return iova_ + ring_bytes() + std::uint64_t{i} * buffer_bytes_; }
  std::uint64_t iova() const { return iova_; }
  hw::DmaMemory& memory() { return memory_; }
  std::uint32_t entries() const { return entries_; }

 private:
  std::size_t ring_bytes() const { return (std::size_t{entries_} * 16 + 4095) / 4096 * 4096; }

  Client client_;
  unsigned queue_;
  std::uint32_t entries_, buffer_bytes_;
  std::uint64_t iova_;
  hw::DmaMemory memory_;
  std::uint32_t tail_ = 0, next_ = 0;
};

// A VF driver's transmit side for one queue.
class TxRing {
 public:
  static constexpr std::uint64_t kIova = 0x9000'0000;
  static constexpr std::size_t kArea = 128 * 1024;  // data, used round and round

  TxRing(Client client, unsigned queue, std::uint32_t entries, std::uint64_t head_write_back = 0)
      : client_(client),
        queue_(queue),
        entries_(entries),
        iova_(kIova + 0x100'0000ull * queue),
        memory_(dma_memory(kHead + kArea)) {
    client_.bus_master();
    client_.map(memory_, iova_);
    client_.write(vf::VFTDBAL, queue, static_cast<std::uint32_t>(iova_));
    client_.write(vf::VFTDBAH, queue, 0);
    client_.write(vf::VFTDLEN, queue, entries * 16);
    client_.write(vf::VFTDH, queue, 0);
    client_.write(vf::VFTDT, queue, 0);
    client_.write(vf::VFTDWBAL, queue, static_cast<std::uint32_t>(head_write_back));
    client_.write(vf::VFTXDCTL, queue, hw::ixgbe::Txdctl::enable);
  }

  // Queues a frame in pieces of at most piece bytes; options are further DCMD and POPTS bits of each descriptor.
  void send(const Frame& frame, std::uint64_t options = 0, std::size_t piece = 0xffff) {
    using namespace hw::ixgbe;
    for (std::size_t from = 0; from < frame.size(); from += piece) {
      const std::size_t n = std::min(piece, frame.size() - from);
      if (used_ + n > kArea) used_ = 0;
      std::memcpy(memory_.data() + kHead + used_, frame.data() + from, n);
      const bool last = from + n == frame.size();
      put(iova_ + kHead + used_, n | TxCommand::dtyp_data | TxCommand::dext | TxCommand::ifcs | options |
                                     (last ? TxCommand::eop | TxCommand::rs : 0) |
                                     std::uint64_t{frame.size()} << TxCommand::paylen_shift);
      used_ += n;
    }
    ring();
  }
  void context(std::uint64_t word0, std::uint64_t word1) {
    using namespace hw::ixgbe;
    put(word0, word1 | TxCommand::dtyp_context | TxCommand::dext);
  }
  // One descriptor as given.
  void put(std::uint64_t word0, std::uint64_t word1) {
    // SAFETY: the ring is at the start of page-aligned memory.
    auto* const words = reinterpret_cast<std::uint64_t*>(memory_.data()) + 2 * tail_;
    words[0] = word0;
    words[1] = word1;
    tail_ = (tail_ + 1) % entries_;
  }
  void ring() { client_.write(vf::VFTDT, queue_, tail_); }

  std::uint64_t word1(std::uint32_t i) const {
    std::uint64_t word = 0;
    std::memcpy(&word, memory_.data() + 16 * i + 8, 8);
    return word;
  }
  std::uint32_t tail() const { return tail_; }
  std::uint64_t iova() const { return iova_; }
  hw::DmaMemory& memory() { return memory_; }
  static constexpr std::size_t kHead = 64 * 1024;  // the ring and what a test puts behind it

 private:
  Client client_;
  unsigned queue_;
  std::uint32_t entries_;
  std::uint64_t iova_;
  hw::DmaMemory memory_;
  std::uint32_t tail_ = 0;
  std::size_t used_ = 0;
};

// A device with its PF brought up as a PF driver would.
class Lab {
 public:
  explicit Lab(DeviceOptions options, std::vector<Frame> frames = {}, Rate::Kind kind = Rate::Kind::maximum,
               std::vector<std::uint64_t> times = {})
      : Lab(std::move(options), std::make_unique<ListWire>(std::move(frames), kind, std::move(times))) {}
  Lab(DeviceOptions options, std::unique_ptr<Wire> wire) {
    auto created = Device::create(options, std::move(wire), nullptr);
    check(static_cast<bool>(created));
    device = std::move(*created);
  }

  Client pf() { return Client(device->pf()); }
  Client vf(unsigned v) { return Client(device->vf(v)); }

  // VT mode with replication, loopback and drop-enable; each VF has its MAC, receives and sends; link and receiver on.
  void bring_up(std::uint32_t mode = hw::ixgbe::VtMode::pools_64) {
    using namespace hw::ixgbe;
    Client p = pf();
    p.bus_master();
    p.write(kit::pf::GCR_EXT, 0, GcrExt::msix_vt | mode);
    p.write(kit::pf::GPIE, 0, Gpie::msix_mode | Gpie::eiame | mode << Gpie::vt_mode_shift);
    p.write(kit::pf::MRQC, 0,
            mode == VtMode::pools_64   ? Mrqc::vmdq_rss_64x2
            : mode == VtMode::pools_32 ? Mrqc::vmdq_rss_32x4
                                       : Mrqc::vmdq_16x8tc);
    p.write(kit::pf::PFVTCTL, 0,
            Pfvtctl::vt_ena | Pfvtctl::rpl_en | Pfvtctl::dis_def_pool | device->vfs() << Pfvtctl::def_pl_shift);
    p.write(kit::pf::FCTRL, 0, Fctrl::bam);
    p.write(kit::pf::RXCSUM, 0, Rxcsum::pcsd);
    p.write(kit::pf::PFDTXGSWC, 0, Pfdtxgswc::lbe);
    for (unsigned i = 0; i < kit::pf::kRars; ++i) {
      p.write(kit::pf::MPSAR, 2 * i, 0);
      p.write(kit::pf::MPSAR, 2 * i + 1, 0);
    }
    for (unsigned v = 0; v < device->vfs(); ++v) {
      set_rar(1 + v, mac_of(v), std::uint64_t{1} << v);
      p.write(kit::pf::PSRTYPE, v, 0);
      p.write(kit::pf::PFVML2FLT, v, Vmolr::aupe | Vmolr::bam);
    }
    for (unsigned q = 0; q < kit::pf::kQueues; ++q) {
      p.write(kit::pf::PFQDE, 0, Pfqde::qde | Pfqde::we | q << Pfqde::index_shift);
    }
    enable_pools((std::uint64_t{1} << device->vfs()) - 1);
    p.write(kit::pf::DMATXCTL, 0, Dmatxctl::te);
    p.write(kit::pf::CTRL_EXT, 0, CtrlExt::pfrstd);
    p.write(kit::pf::RXCTRL, 0, Rxctrl::rxen);
  }
  void set_rar(unsigned i, const hw::Mac& mac, std::uint64_t pools) {
    Client p = pf();
    p.write(kit::pf::MPSAR, 2 * i, static_cast<std::uint32_t>(pools));
    p.write(kit::pf::MPSAR, 2 * i + 1, static_cast<std::uint32_t>(pools >> 32));
    p.write(kit::pf::RAL, i, static_cast<std::uint32_t>(mac.packed()));
    p.write(kit::pf::RAH, i, hw::ixgbe::Rah::av | static_cast<std::uint32_t>(mac.packed() >> 32));
  }
  void enable_pools(std::uint64_t pools) {
    for (unsigned w = 0; w < 2; ++w) {
      pf().write(kit::pf::PFVFRE, w, static_cast<std::uint32_t>(pools >> 32 * w));
      pf().write(kit::pf::PFVFTE, w, static_cast<std::uint32_t>(pools >> 32 * w));
    }
  }
  void mirror(unsigned rule, std::uint32_t types, unsigned to, std::uint64_t sources = 0, std::uint64_t vlans = 0) {
    Client p = pf();
    p.write(kit::pf::PFMRVM, rule, static_cast<std::uint32_t>(sources));
    p.write(kit::pf::PFMRVM, rule + 4, static_cast<std::uint32_t>(sources >> 32));
    p.write(kit::pf::PFMRVLAN, rule, static_cast<std::uint32_t>(vlans));
    p.write(kit::pf::PFMRVLAN, rule + 4, static_cast<std::uint32_t>(vlans >> 32));
    p.write(kit::pf::PFMRCTL, rule, types | to << hw::ixgbe::Mrctl::mp_shift);
  }
  void no_drop(unsigned queue) {
    pf().write(kit::pf::PFQDE, 0, hw::ixgbe::Pfqde::we | queue << hw::ixgbe::Pfqde::index_shift);
  }

  // Rounds of the device, a microsecond each.
  void run(unsigned rounds = 4) {
    for (unsigned i = 0; i < rounds; ++i, now += 1000) device->run_once(now);
  }
  std::uint64_t account(const std::string& name) const { return device->accounts().at(name); }

  std::unique_ptr<Device> device;
  std::uint64_t now = 1'000'000'000;
};

}  // namespace vigia::softnic::kit
