// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/intel/tx_queue.h"

#include <gtest/gtest.h>

#include <random>

#include "hw/ixgbe/descriptor.h"
#include "hw/ixgbe/regs_vf.h"
#include "tests/vfdriver/fake_vf.h"

namespace vigia::vf::intel {
namespace {

namespace tx = hw::ixgbe::TxCommand;
using Bytes = std::vector<std::byte>;
using namespace std::chrono_literals;

constexpr std::uint32_t kMaxFrame = 9018;

struct Sent {
  Bytes bytes;
  std::uint64_t paylen = 0;
  HeaderLengths context{};
  friend bool operator==(const Sent&, const Sent&) = default;
};

// The device's side: parses descriptors from its head to the tail as a strict 82599 would.
class FakeTxDevice final : public hw::Bar::Trap {
 public:
  static constexpr hw::Iova kBase{0x9'0000'0000};
  explicit FakeTxDevice(std::uint32_t ring, std::uint64_t check_context)
      : check_context_(check_context),
        layout_(plan_memory(0, 0, 0, ring)),
        memory_(layout_.total),
        queue_memory_(TxQueue::Memory::at(memory_, kBase, layout_.tx)) {}

  const TxQueue::Memory& memory() const { return queue_memory_; }
  hw::Doorbell doorbell() { return bar_.doorbell(hw::ixgbe::vf::VFTDT, 0); }
  std::uint32_t tail() const { return tail_; }
  unsigned doorbells() const { return doorbells_; }

  // Fetches at most that many descriptors.
  std::vector<Sent> fetch(unsigned limit = ~0u) {
    std::vector<Sent> sent;
    for (; head_ != tail_ && limit > 0; --limit) {
      hw::ixgbe::TxDescriptor& d = queue_memory_.ring[head_];
      if ((d.word1 & tx::dtyp_mask) == tx::dtyp_context) {
        EXPECT_TRUE(current_.bytes.empty()) << "context inside a frame";
        context_ =
            HeaderLengths{static_cast<std::uint32_t>(d.word0 >> 9 & 0x7f), static_cast<std::uint32_t>(d.word0 & 0x1ff)};
      } else {
        data(d, sent);
      }
      head_ = (head_ + 1) % static_cast<std::uint32_t>(queue_memory_.ring.size());
    }
    return sent;
  }
  void restart() { head_ = tail_ = 0; }

  std::uint32_t read32(std::uint32_t) noexcept override { return tail_; }
  void write32(std::uint32_t, std::uint32_t value) noexcept override {
    tail_ = value;
    ++doorbells_;
  }

 private:
  void data(hw::ixgbe::TxDescriptor& d, std::vector<Sent>& sent) {
    EXPECT_EQ(d.word1 & tx::dtyp_mask, tx::dtyp_data);
    EXPECT_NE(d.word1 & tx::dext, 0u);
    EXPECT_NE(d.word1 & tx::ifcs, 0u);
    EXPECT_EQ(d.word1 & tx::cc, check_context_) << "the 82599 could not parse a looped copy, the 82576 has no such bit";
    const std::uint64_t at = d.word0 - hw::to_integer(queue_memory_.buffers_iova);
    const std::uint64_t length = d.word1 & tx::dtalen_mask;
    check(at + length <= queue_memory_.buffers.size());
    current_.bytes.insert(current_.bytes.end(), queue_memory_.buffers.begin() + static_cast<std::ptrdiff_t>(at),
                          queue_memory_.buffers.begin() + static_cast<std::ptrdiff_t>(at + length));
    current_.paylen = d.word1 >> tx::paylen_shift;
    current_.context = context_;
    if ((d.word1 & tx::eop) != 0) sent.push_back(std::exchange(current_, {}));
    if ((d.word1 & tx::rs) != 0) d.word1 |= tx::dd;
  }

  std::uint64_t check_context_;
  Layout layout_;
  std::vector<std::byte> memory_;
  TxQueue::Memory queue_memory_;
  hw::Bar bar_{hw::ixgbe::vf::kBarSize, *this};
  std::uint32_t head_ = 0, tail_ = 0;
  unsigned doorbells_ = 0;
  HeaderLengths context_{};
  Sent current_;
};

struct Rig {
  explicit Rig(std::uint32_t ring = 64, std::uint64_t check_context = tx::cc)
      : device(ring, check_context), queue{device.memory(), check_context, kMaxFrame, device.doorbell(), function} {
    queue.prepare();
  }
  FakeTxDevice device;
  test::FakeVf vf;
  test::FakeFunction function{vf};
  TxQueue queue;

  std::size_t send(const std::vector<Bytes>& frames) {
    return queue.send(std::vector<TxPort::Frame>(frames.begin(), frames.end()));
  }
};

// Addresses, then the EtherType and what follows.
Bytes frame_of(std::size_t size, std::initializer_list<int> after_addresses = {0x88, 0xb5}) {
  Bytes f(size, std::byte{0xaa});
  std::size_t at = 12;
  for (const int b : after_addresses) f[at++] = static_cast<std::byte>(b);
  return f;
}

TEST(HeaderLengths, OfEveryKind) {
  struct Row {
    const char* what;
    Bytes frame;
    HeaderLengths expected;
  };
  const Row rows[] = {
      {"nothing", {}, {14, 0}},
      {"header only, IPv4 type", frame_of(14, {0x08, 0x00}), {14, 0}},
      {"experimental", frame_of(60), {14, 0}},
      {"IPv4", frame_of(60, {0x08, 0x00, 0x45}), {14, 20}},
      {"IPv4 with options", frame_of(60, {0x08, 0x00, 0x4f}), {14, 60}},
      {"IPv6", frame_of(60, {0x86, 0xdd, 0x60}), {14, 40}},
      {"VLAN, IPv4", frame_of(60, {0x81, 0x00, 0, 7, 0x08, 0x00, 0x45}), {18, 20}},
      {"VLAN, cut", frame_of(17, {0x81, 0x00, 0, 7}), {14, 0}},
      {"VLAN, ARP", frame_of(60, {0x81, 0x00, 0, 7, 0x08, 0x06}), {18, 0}},
  };
  for (const Row& row : rows) EXPECT_EQ(header_lengths(row.frame), row.expected) << row.what;
}

TEST(TxQueue, RefusesWhatIsNoFrameAndCountsIt) {
  Rig rig;
  EXPECT_EQ(rig.send({Bytes{}, frame_of(60), Bytes(13), Bytes(kMaxFrame + 1), frame_of(kMaxFrame)}), 5u);
  EXPECT_EQ(rig.queue.counts().refused, 3u);
  EXPECT_EQ(rig.queue.counts().posted, 2u);
  EXPECT_EQ(rig.queue.counts().posted_bytes, 60u + kMaxFrame);
  const auto sent = rig.device.fetch();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].bytes, frame_of(60));
  EXPECT_EQ(sent[1].bytes, frame_of(kMaxFrame)) << "over several descriptors";
  EXPECT_EQ(sent[1].paylen, kMaxFrame);
}

TEST(TxQueue, OneDoorbellPerBurstAndOneContextPerChange) {
  Rig rig;
  const Bytes ipv4 = frame_of(60, {0x08, 0x00, 0x45}), other = frame_of(60);
  EXPECT_EQ(rig.send({ipv4, ipv4, ipv4}), 3u);
  EXPECT_EQ(rig.device.tail(), 4u) << "one context, three frames";
  EXPECT_EQ(rig.device.doorbells(), 1u);
  EXPECT_EQ(rig.send({ipv4, other}), 2u);
  EXPECT_EQ(rig.device.tail(), 7u) << "the context is still there for the first, a new one for the second";
  const auto sent = rig.device.fetch();
  ASSERT_EQ(sent.size(), 5u);
  EXPECT_EQ(sent[3].context, (HeaderLengths{14, 20}));
  EXPECT_EQ(sent[4].context, (HeaderLengths{14, 0}));
  EXPECT_EQ(rig.send({}), 0u);
  EXPECT_EQ(rig.device.doorbells(), 2u);
}

TEST(TxQueue, WithoutContextsEveryDescriptorIsAFrame) {
  Rig rig(64, 0);
  const Bytes ipv4 = frame_of(60, {0x08, 0x00, 0x45}), other = frame_of(60);
  EXPECT_EQ(rig.send({ipv4, other, ipv4}), 3u);
  EXPECT_EQ(rig.device.tail(), 3u);
  EXPECT_EQ(rig.device.fetch().size(), 3u);
  EXPECT_TRUE(rig.queue.drain(5ms));
}

TEST(TxQueue, FullRingTakesNoMoreUntilTheDeviceReports) {
  Rig rig(64);
  const std::vector<Bytes> many(100, frame_of(60));
  EXPECT_EQ(rig.send(many), 62u) << "63 usable descriptors, one of them the context";
  EXPECT_EQ(rig.send(many), 0u);
  EXPECT_EQ(rig.device.fetch().size(), 62u);
  EXPECT_EQ(rig.send(many), 63u);
  EXPECT_EQ(rig.queue.counts().completed, 62u);
}

TEST(TxQueue, DrainWaitsForTheReport) {
  Rig rig;
  EXPECT_TRUE(rig.queue.drain(1ms)) << "nothing posted";
  EXPECT_EQ(rig.send({frame_of(60)}), 1u);
  EXPECT_FALSE(rig.queue.drain(5ms));
  rig.device.fetch();
  EXPECT_TRUE(rig.queue.drain(5ms));
  EXPECT_EQ(rig.queue.counts().completed, 1u);
}

TEST(TxQueue, DrainEndsWhenTheDeviceIsGone) {
  Rig rig;
  EXPECT_EQ(rig.send({frame_of(60)}), 1u);
  rig.vf.gone = true;
  EXPECT_FALSE(rig.queue.drain(10s));
}

TEST(TxQueue, PrepareCountsWhatWasNeverReportedAsLost) {
  Rig rig;
  EXPECT_EQ(rig.send({frame_of(60), frame_of(60)}), 2u);
  rig.queue.prepare();
  rig.device.restart();
  EXPECT_EQ(rig.queue.counts().lost, 2u);
  EXPECT_TRUE(rig.queue.drain(1ms));
  EXPECT_EQ(rig.send({frame_of(60)}), 1u);
  const auto sent = rig.device.fetch();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].context, (HeaderLengths{14, 0})) << "the context was sent again";
  EXPECT_TRUE(rig.queue.drain(1ms));
}

TEST(TxQueue, WhatGoesInComesOutOverManyLaps) {
  Rig rig(64);
  std::mt19937 random(1);
  const auto pick = [&](std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random); };
  std::vector<Bytes> expected, got;
  for (int step = 0; step < 5000; ++step) {
    std::vector<Bytes> burst;
    for (std::size_t i = 0, n = pick(8); i < n; ++i) {
      Bytes f = frame_of(20 + (pick(5) == 0 ? pick(9000 - 20) : pick(100)));
      f[0] = static_cast<std::byte>(expected.size() + i);
      if (pick(2) == 0) f[12] = std::byte{0x86}, f[13] = std::byte{0xdd};
      burst.push_back(std::move(f));
    }
    const std::size_t n = rig.send(burst);
    expected.insert(expected.end(), burst.begin(), burst.begin() + static_cast<std::ptrdiff_t>(n));
    for (Sent& s : rig.device.fetch(static_cast<unsigned>(pick(20)))) {
      ASSERT_EQ(s.paylen, s.bytes.size());
      ASSERT_EQ(s.context, header_lengths(s.bytes));
      got.push_back(std::move(s.bytes));
    }
    // Sent in order, byte for byte.
    ASSERT_LE(got.size(), expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], expected[i]);
    expected.erase(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(got.size()));
    got.clear();
  }
  for (Sent& s : rig.device.fetch()) got.push_back(std::move(s.bytes));
  EXPECT_EQ(got, expected);
  EXPECT_TRUE(rig.queue.drain(1ms));
  EXPECT_GT(rig.queue.counts().completed, 5000u);
}

}  // namespace
}  // namespace vigia::vf::intel
