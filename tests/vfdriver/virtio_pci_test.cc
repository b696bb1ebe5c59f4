// SPDX-License-Identifier: Apache-2.0
// The virtio PCI driver against a function that keeps the standard's rules (virtio 1.2, 3.1 and 4.1) and aborts when
// the driver breaks them.
#include <gmock/gmock.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "hw/virtio/pci.h"
#include "tests/vfdriver/fake_net_device.h"
#include "tests/vfdriver/ring_fixture.h"
#include "vfdriver/virtio/pci_device.h"

namespace vigia::vf::virtio {
namespace {

using ::testing::HasSubstr;
namespace common = hw::virtio::Common;
namespace status = hw::virtio::Status;
namespace feature = hw::virtio::Feature;

constexpr std::uint32_t kCommonAt = 0x100, kNotifyAt = 0x400, kNetAt = 0x800, kBar = 4;

// What the test keeps while the driver owns the function.
struct Model {
  std::uint64_t offered =
      feature::version_1 | feature::access_platform | feature::net_mac | feature::net_mtu | feature::net_status;
  bool translates = true, refuse_features = false, no_vector = false, gone = false, loop_of_capabilities = false,
       no_common = false;
  std::uint32_t most_entries = 256, multiplier = 4;

  std::array<std::uint8_t, 256> config{};
  std::array<std::uint8_t, 64> common{};
  std::uint64_t chosen = 0;
  struct Queue {
    std::uint16_t size = 0, vector = common::no_vector, enabled = 0;
    std::array<std::uint32_t, 6> address{};
  };
  std::array<Queue, 2> queues;
  std::uint32_t feature_half = 0, driver_half = 0, selected = 0;
  std::uint8_t device_status = 0;
  unsigned resets = 0, notified = 0;
  std::byte* memory = nullptr;
  std::size_t memory_bytes = 0;
  static constexpr std::uint64_t kIova = 0x2'0000'0000;
  Fd event{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  test::FakeNetDevice net;

  Model() {
    config[hw::virtio::kPciStatus] = hw::virtio::kPciStatusHasList;
    config[hw::virtio::kPciListAt] = 0x40;
    capability(0x40, 0x50, hw::virtio::Capability::common, kCommonAt, common::bytes);
    capability(0x50, 0x70, hw::virtio::Capability::notify, kNotifyAt, 0x100);
    std::memcpy(&config[0x60], &multiplier, 4);
    capability(0x70, 0x80, hw::virtio::Capability::device, kNetAt, 12);
    capability(0x80, 0, hw::virtio::Capability::pci, 0, 0);
  }
  void capability(std::uint8_t at, std::uint8_t next, std::uint8_t kind, std::uint32_t offset, std::uint32_t bytes) {
    config[at] = hw::virtio::kVendorCapability;
    config[at + 1u] = next;
    config[at + 3u] = kind;
    config[at + 4u] = kBar;
    std::memcpy(&config[at + 8u], &offset, 4);
    std::memcpy(&config[at + 12u], &bytes, 4);
  }
  std::byte* inside(std::uint64_t address, std::size_t bytes) {
    check(address >= kIova && address - kIova + bytes <= memory_bytes);
    return memory + (address - kIova);
  }

  std::uint32_t read_common(std::uint32_t at) {
    Queue& q = queues.at(selected);
    switch (at) {
      case common::device_feature:
        return static_cast<std::uint32_t>(offered >> (32 * feature_half));
      case common::status:
        return device_status;
      case common::queue_size:
        return q.size == 0 ? most_entries : q.size;
      case common::queue_vector:
        return no_vector ? common::no_vector : q.vector;
      case common::queue_notify_offset:
        return selected;
      default:
        check(false);
        return 0;
    }
  }
  void write_common(std::uint32_t at, std::uint32_t value) {
    Queue& q = queues.at(selected);
    if (at >= common::queue_descriptors) {
      check(at < common::bytes);
      q.address[(at - common::queue_descriptors) / 4] = value;
      return;
    }
    switch (at) {
      case common::device_feature_select:
        feature_half = value;
        break;
      case common::driver_feature_select:
        driver_half = value;
        break;
      case common::driver_feature:
        chosen = driver_half == 0 ? (chosen >> 32 << 32) | value : (chosen & 0xffff'ffff) | std::uint64_t{value} << 32;
        break;
      case common::status:
        set_status(static_cast<std::uint8_t>(value));
        break;
      case common::queue_select:
        selected = value;
        break;
      case common::queue_size:
        check(value <= most_entries);
        q.size = static_cast<std::uint16_t>(value);
        break;
      case common::queue_vector:
        q.vector = static_cast<std::uint16_t>(value);
        break;
      case common::queue_enable:
        check(value == 1 && (device_status & status::features_ok) != 0 && q.size > 0);
        q.enabled = 1;
        break;
      default:
        check(false);
    }
  }
  void set_status(std::uint8_t value) {
    if (value == 0) {
      ++resets;
      device_status = 0;
      queues = {};
      return;
    }
    check((value & device_status) == device_status);  // bits are never cleared but by a reset
    device_status = value;
    if ((value & status::features_ok) != 0) {
      check((chosen & ~offered) == 0);
      if (refuse_features) device_status &= static_cast<std::uint8_t>(~status::features_ok);
    }
    if ((value & status::driver_ok) != 0) run();
  }
  void run() {
    const Queue& q = queues[0];
    check(q.enabled == 1 && queues[1].enabled == 1);
    const auto address = [&](std::size_t i) { return q.address[i] | std::uint64_t{q.address[i + 1]} << 32; };
    const auto memory_of = [this](std::uint64_t at, std::size_t bytes) { return inside(at, bytes); };
    net = test::FakeNetDevice({q.size, address(0), address(2), address(4), (chosen & feature::packed_ring) != 0,
                               (chosen & feature::event_index) != 0, memory_of, memory_of, [this] {
                                 const std::uint64_t one = 1;
                                 check(::write(event.get(), &one, sizeof one) == sizeof one);
                               }});
  }
};

class FakeFunction final : public hw::PciFunction, hw::Bar::Trap {
 public:
  explicit FakeFunction(Model& model) : m_(model), bar_(0x1000, *this) {}

  const std::string& name() const override { return name_; }
  hw::PciId id() const override { return hw::virtio::kNetId; }
  Result<hw::Bar*> map_bar(unsigned index) override {
    check(index == kBar);
    return &bar_;
  }
  Result<hw::Iova> map_dma(const hw::DmaMemory& memory) override {
    m_.memory = memory.data();
    m_.memory_bytes = memory.size();
    return hw::Iova{Model::kIova};
  }
  bool translates() const noexcept override { return m_.translates; }
  Result<Done> unmap_dma(hw::Iova, std::size_t) override { return Done{}; }
  Result<std::vector<int>> enable_msix(unsigned count) override {
    check(count == 1);
    return std::vector<int>{m_.event.get()};
  }
  Result<Done> disable_msix() override { return Done{}; }
  Result<std::uint32_t> config_read(std::uint32_t offset, unsigned bytes) override {
    if (m_.gone) return work_error("gone");
    if (offset == kWindow) return window_read(bytes);
    std::uint32_t value = 0;
    std::memcpy(&value, &m_.config.at(offset), bytes);
    return value;
  }
  Result<Done> config_write(std::uint32_t offset, unsigned bytes, std::uint32_t value) override {
    if (offset == kWindow) {
      const auto [at, length] = target();
      check(length == bytes && at >= kCommonAt && at < kCommonAt + common::bytes);
      m_.write_common(at - kCommonAt, value);
    } else {
      std::memcpy(&m_.config.at(offset), &value, bytes);
    }
    return Done{};
  }
  Result<Done> reset() override { return Done{}; }
  bool alive() const noexcept override { return !m_.gone; }

 private:
  static constexpr std::uint32_t kWindow = 0x80 + hw::virtio::Capability::data;

  std::pair<std::uint32_t, std::uint32_t> target() {
    std::uint32_t at = 0, length = 0;
    std::memcpy(&at, &m_.config[0x88], 4);
    std::memcpy(&length, &m_.config[0x8c], 4);
    check(m_.config[0x84] == kBar);
    return {at, length};
  }
  std::uint32_t window_read(unsigned bytes) {
    const auto [at, length] = target();
    check(length == bytes);
    if (at < kNetAt) return m_.read_common(at - kCommonAt);
    const std::array<std::uint8_t, 12> net{0x52, 0x54, 0, 1, 2, 3, 1, 0, 1, 0, 0xdc, 5};
    std::uint32_t value = 0;
    std::memcpy(&value, &net.at(at - kNetAt), bytes);
    return value;
  }
  std::uint32_t read32(std::uint32_t) noexcept override { return 0xffff'ffff; }
  void write32(std::uint32_t offset, std::uint32_t value) noexcept override {
    check(offset == kNotifyAt && value == 0);
    ++m_.notified;
  }

  Model& m_;
  hw::Bar bar_;
  std::string name_ = "vfio:0000:01:00.0";
};

Result<std::unique_ptr<VfDevice>> open(Model& model, unsigned mtu = 1500) {
  PortOptions options;
  options.mtu = mtu;
  options.tx_ring = 0;
  options.rx_ring = 64;
  auto device = open_pci(std::make_unique<FakeFunction>(model), options);
  if (!device) return device;
  if (auto started = (*device)->start(); !started) return started.error();
  return device;
}

TEST(VirtioPci, FramesArriveOverEveryKindOfRing) {
  for (const std::uint64_t extra : {std::uint64_t{0}, feature::net_mergeable_buffers, feature::packed_ring,
                                    feature::event_index | feature::packed_ring | feature::net_mergeable_buffers}) {
    Model model;
    model.offered |= extra;
    auto device = must(open(model));
    EXPECT_EQ(model.device_status, status::acknowledge | status::driver | status::features_ok | status::driver_ok);
    EXPECT_GE(model.notified, 1u) << "nobody told the device of the first buffers";
    std::array<RxSegment, 32> out;
    for (std::uint64_t i = 0; i < 300; ++i) {
      const auto frame = frame_of(i, 60 + i % 1400);
      ASSERT_TRUE(model.net.deliver(frame)) << i;
      ASSERT_EQ(device->queue(0).receive(out), 1u);
      ASSERT_TRUE(std::equal(frame.begin(), frame.end(), out[0].data, out[0].data + out[0].length));
      device->queue(0).release();
    }
    EXPECT_EQ(device->health(), Health::good);
    ASSERT_TRUE(device->stop());
    EXPECT_EQ(model.device_status, 0);
    ASSERT_TRUE(device->start());
    ASSERT_TRUE(model.net.deliver(frame_of(1, 60)));
    EXPECT_EQ(device->queue(0).receive(out), 1u);
    device.reset();
    EXPECT_EQ(model.device_status, 0) << "a device that is left on writes into memory that is no longer ours";
  }
}

TEST(VirtioPci, WithoutMergeableBuffersAFrameOfTheMtuFitsIntoOne) {
  Model model;
  auto device = must(open(model, 9000));
  std::array<RxSegment, 32> out;
  const auto frame = frame_of(1, 9022);  // with two tags
  ASSERT_TRUE(model.net.deliver(frame));
  ASSERT_EQ(device->queue(0).receive(out), 1u);
  EXPECT_TRUE(std::equal(frame.begin(), frame.end(), out[0].data, out[0].data + out[0].length));
}

TEST(VirtioPci, ADeviceThatTakesPhysicalAddressesIsForPortsThatHaveThem) {
  Model model;
  model.offered &= ~feature::access_platform;
  const auto refused = open(model);
  ASSERT_FALSE(refused) << "it would write past the IOMMU into memory that is not ours";
  EXPECT_THAT(refused.error().text, HasSubstr("goes around the IOMMU"));
  EXPECT_EQ(refused.error().exit_status(), 2);
  model.translates = false;
  EXPECT_TRUE(open(model));
}

TEST(VirtioPci, ItTellsWhatTheDeviceTells) {
  Model model;
  auto device = must(open(model));
  const auto info = must(device->info());
  EXPECT_EQ(info.mac, (hw::Mac{{0x52, 0x54, 0, 1, 2, 3}}));
  EXPECT_EQ(info.mtu, 1500u);
  EXPECT_EQ(info.link_up, true);
  EXPECT_TRUE(info.interrupts);
  device.reset();
  Model silent;
  silent.offered = feature::version_1 | feature::access_platform;
  device = must(open(silent));
  const auto unknown = must(device->info());
  EXPECT_FALSE(unknown.mac || unknown.link_up);
  EXPECT_EQ(unknown.mtu, 0u);
}

TEST(VirtioPci, WhatADeviceLacksIsSaid) {
  struct Case {
    void (*spoil)(Model&);
    const char* why;
  };
  const Case cases[] = {
      {[](Model& m) { m.offered = 0; }, "older than virtio 1.0"},
      {[](Model& m) { m.refuse_features = true; }, "refuses the features"},
      {[](Model& m) { m.config[0x43] = 77; }, "capability is missing or too short"},
      {[](Model& m) {
         m.config[0x81] = 0x40;
         m.config[0x53] = 77;
       },
       "capability is missing"},
      {[](Model& m) { m.config[hw::virtio::kPciStatus] = 0; }, "capability is missing"},
      {[](Model& m) { m.most_entries = 0; }, "0 entries cannot be used"},
      {[](Model& m) { m.most_entries = 48; }, "48 entries cannot be used"},
      {[](Model& m) { m.most_entries = 32; }, "64 are needed"},
      {[](Model& m) { m.no_vector = true; }, "use --poll"},
      {[](Model& m) {
         m.config[0x58] = 0xfe;
         m.config[0x59] = 0x0f;
       },
       "cannot be written"},
      {[](Model& m) {
         m.config[0x58] = 0xfc;
         m.config[0x59] = 0x1f;
       },
       "outside BAR"},
      {[](Model& m) { m.gone = true; }, "gone"},
  };
  for (const Case& c : cases) {
    Model model;
    c.spoil(model);
    const auto device = open(model);
    ASSERT_FALSE(device) << c.why;
    EXPECT_THAT(device.error().text, HasSubstr(c.why));
    EXPECT_EQ(model.device_status & status::driver_ok, 0) << c.why;
  }
}

TEST(VirtioPci, ADeviceThatAsksToBeResetIsGone) {
  Model model;
  auto device = must(open(model));
  model.device_status |= status::needs_reset;
  EXPECT_EQ(device->health(), Health::gone);
  EXPECT_FALSE(device->queue(0).alive());
  EXPECT_THAT(device->trouble(), HasSubstr("reset"));
}

}  // namespace
}  // namespace vigia::vf::virtio
