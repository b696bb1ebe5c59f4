// SPDX-License-Identifier: Apache-2.0
// The manager on the software 82599, over its sockets: a VF's life by bare mailbox registers, rules on live registers,
// a PF that dies and comes back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_pf.h"
#include "hw/ixgbe/regs_vf.h"
#include "pfdriver/manager.h"
#include "softnic/device.h"
#include "softnic/server.h"
#include "tests/temp_dir.h"

namespace vigia::pf {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
namespace mbx = hw::ixgbe::mbx;
namespace VfBit = mbx::VfBit;
namespace vf_reg = hw::ixgbe::vf;

// The VF's side of the mailbox in both styles; service is called while it waits, as the PF's loop would.
class VfSide {
 public:
  VfSide(std::unique_ptr<hw::PciFunction> function, Manager*& manager)
      : function_(std::move(function)), bar_(**function_->map_bar(0)), manager_(manager) {
    (void)function_->set_bus_master(true);
  }

  void function_reset() { bar_.write(vf_reg::VFCTRL, hw::ixgbe::Ctrl::rst); }
  // One look at its mailbox register; what is cleared by it is remembered as drivers do.
  std::uint32_t look() {
    const std::uint32_t now = bar_.read(vf_reg::VFMAILBOX);
    seen_ |= now & VfBit::read_to_clear;
    return now;
  }
  bool reset_done() {
    (void)wait(VfBit::rstd);
    return (bar_.read(vf_reg::VFMAILBOX) & VfBit::rsti) == 0;
  }

  mbx::Message ask(const mbx::Message& request, bool upgraded = false) {
    EXPECT_TRUE(take_lock());
    seen_ = 0;  // as drivers do: what came before is of no interest now
    for (unsigned w = 0; w < mbx::kWords; ++w) bar_.write(vf_reg::VFMBMEM, w, request[w]);
    bar_.write(vf_reg::VFMAILBOX, VfBit::req | (upgraded ? VfBit::vfu : 0));
    EXPECT_TRUE(wait(VfBit::pfack));
    if (upgraded) bar_.write(vf_reg::VFMAILBOX, 0);
    EXPECT_TRUE(wait(VfBit::pfsts));
    if (!upgraded) {
      EXPECT_TRUE(take_lock()) << "a legacy VF reads under the lock";
    }
    mbx::Message reply{};
    for (unsigned w = 0; w < mbx::kWords; ++w) reply[w] = bar_.read(vf_reg::VFMBMEM, w);
    bar_.write(vf_reg::VFMAILBOX, VfBit::ack);
    seen_ = 0;
    manager_->service();
    return reply;
  }
  mbx::Message ask(mbx::Id id, std::uint32_t argument = 0, std::uint32_t word1 = 0, bool upgraded = false) {
    return ask(mbx::Message{mbx::word0(id, argument), word1}, upgraded);
  }
  bool wait(std::uint32_t bits) {
    return static_cast<bool>(wait_until("mailbox", milliseconds(3000), [&] {
      manager_->service();
      (void)look();
      return (seen_ & bits) == bits;
    }));
  }
  std::uint32_t word0() { return bar_.read(vf_reg::VFMBMEM, 0); }

 private:
  bool take_lock() {
    return static_cast<bool>(wait_until("VFU", milliseconds(3000), [&] {
      manager_->service();
      bar_.write(vf_reg::VFMAILBOX, VfBit::vfu);
      return (look() & VfBit::vfu) != 0;
    }));
  }
  std::unique_ptr<hw::PciFunction> function_;
  hw::Bar& bar_;
  Manager*& manager_;
  std::uint32_t seen_ = 0;
};

class OnSoftnic : public testing::Test {
 protected:
  void SetUp() override {
    softnic::DeviceOptions options;
    options.vfs = 4;
    device_ = std::move(*softnic::Device::create(options, nullptr, nullptr));
    server_ = std::move(*softnic::Server::create());
    ASSERT_TRUE(server_->listen(dir_ / "pf.sock", device_->pf()));
    for (unsigned v = 0; v < 4; ++v) {
      ASSERT_TRUE(server_->listen(dir_ / ("vf" + std::to_string(v) + ".sock"), device_->vf(v)));
    }
    thread_ = std::thread([this] {
      std::uint64_t now = 0;
      while (!stopping_) {
        (void)server_->poll(1);
        (void)device_->run_once(now += 1'000'000);
      }
    });
  }
  void TearDown() override {
    owner_.reset();
    pf_.reset();
    stop_device();
  }
  void stop_device() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }
  void start(std::string_view taps = "  taps:\n    - {name: t, from: [0], to: 3, direction: both}\n") {
    auto opened = hw::open_function("vfio-user:" + (dir_ / "pf.sock").native());
    ASSERT_TRUE(opened) << opened.error().text;
    pf_ = std::move(*opened);
    auto config = parse_config(
        "pf:\n  vfs: 4\n  vf:\n    - {index: 0, mac: \"02:00:00:00:00:01\", vlan: 100, rate_mbps: 5000, name: web}\n"
        "    - {index: 2, trust: true}\n" +
            std::string(taps),
        "pf.yaml");
    ASSERT_TRUE(config) << config.error().text;
    const bool msix = static_cast<bool>(pf_->enable_msix(1));
    auto started = Manager::start(*pf_, *config, dir_ / "journal", msix);
    ASSERT_TRUE(started) << started.error().text;
    owner_ = std::move(*started);
    manager_ = owner_.get();
  }
  VfSide vf(unsigned index) {
    auto opened = hw::open_function("vfio-user:" + (dir_ / ("vf" + std::to_string(index) + ".sock")).native());
    if (!opened) ADD_FAILURE() << opened.error().text;
    return {std::move(*opened), manager_};
  }

  vigia::test::TempDir dir_;
  std::unique_ptr<softnic::Device> device_;
  std::unique_ptr<softnic::Server> server_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
  std::unique_ptr<hw::PciFunction> pf_;
  std::unique_ptr<Manager> owner_;
  Manager* manager_ = nullptr;
};

TEST_F(OnSoftnic, AVfsLifeInBothMailboxStyles) {
  start();
  VfSide web = vf(0);
  ASSERT_TRUE(web.reset_done());
  EXPECT_EQ(web.ask(mbx::Id::get_queues)[0], 0x4000'0009u) << "not before its reset";
  const mbx::Message reset = web.ask(mbx::Id::reset);
  EXPECT_EQ(reset[0], 0x8000'0001u);
  EXPECT_EQ(mbx::get_mac(reset).text(), "02:00:00:00:00:01");
  EXPECT_TRUE(manager_->show().vfs[0].receive);
  EXPECT_EQ(web.ask(mbx::Id::api_negotiate, 0, 7)[0], 0x6000'0008u);
  EXPECT_EQ(web.ask(mbx::Id::api_negotiate, 0, 6)[0], 0xa000'0008u);
  EXPECT_EQ(mbx::get_queues(web.ask(mbx::Id::get_queues, 0, 0, true)).rx, 4u);
  EXPECT_EQ(web.ask(mbx::Id::set_lpe, 0, 1518, true)[0], 0xa000'0005u);
  EXPECT_EQ(web.ask(mbx::Id::get_reta, 0, 0, true)[0], 0x6000'000au) << "not trusted";

  web.function_reset();
  manager_->service();
  EXPECT_FALSE(manager_->show().vfs[0].receive);
  EXPECT_EQ(web.ask(mbx::Id::reset)[0], 0x8000'0001u);
  EXPECT_TRUE(manager_->show().vfs[0].receive);
  EXPECT_EQ(manager_->totals().vf_resets, 3u);
}

TEST_F(OnSoftnic, RssForATrustedVf) {
  start();
  VfSide trusted = vf(2);
  EXPECT_EQ(trusted.ask(mbx::Id::reset)[0], 0x4000'0001u);
  EXPECT_EQ(trusted.ask(mbx::Id::api_negotiate, 0, 4)[0], 0xa000'0008u);
  EXPECT_EQ(mbx::get_reta(trusted.ask(mbx::Id::get_reta))[5], 1u);
  EXPECT_EQ(mbx::get_rss_key(trusted.ask(mbx::Id::get_rss_key)), rss_key());
}

TEST_F(OnSoftnic, RulesOnLiveRegisters) {
  start("");
  const Image before = read_image(**pf_->map_bar(0));
  PfConfig tapped = manager_->config();
  tapped.taps = {Tap{.name = "a", .port = false, .from = {0}, .to = 3, .direction = Direction::both},
                 Tap{.name = "b", .port = true, .from = {}, .to = 1, .direction = Direction::rx}};
  const auto applied = manager_->apply(tapped);
  ASSERT_TRUE(applied) << applied.error().text;
  const PortView view = manager_->show();
  EXPECT_EQ(view.scopes, applied.value().scopes) << "the registers say what the plan said";
  EXPECT_EQ(view.rules.size(), 2u);
  EXPECT_EQ(view.default_pool, 1u);
  EXPECT_TRUE(view.promiscuous && view.vfs[3].drop_when_full);
  EXPECT_EQ(view.vfs[0].rate_mbps, 5000.0);
  EXPECT_TRUE(manager_->apply(tapped).value().changes.empty());
  ASSERT_TRUE(manager_->revert());
  EXPECT_EQ(read_image(**pf_->map_bar(0)), before);
}

TEST_F(OnSoftnic, APfThatDiesComesBackAndVfsResetAgain) {
  start();
  VfSide web = vf(0);
  EXPECT_EQ(web.ask(mbx::Id::reset)[0], 0x8000'0001u);
  owner_.reset();  // without stop(): as kill -9 does
  pf_.reset();
  start();
  EXPECT_EQ(manager_->show().rules.size(), 1u);
  EXPECT_EQ(web.look(), VfBit::rstd | VfBit::pfsts) << "both at once, for Linux looks for a message when it sees RSTD";
  EXPECT_EQ(web.word0(), mbx::kFailure);
  EXPECT_TRUE(web.reset_done());
  EXPECT_EQ(web.ask(mbx::Id::set_lpe, 0, 1518)[0], 0x4000'0005u) << "it has to reset first";
  EXPECT_EQ(web.ask(mbx::Id::reset)[0], 0x8000'0001u);
}

TEST_F(OnSoftnic, StopTellsVfsAndQuietensThePort) {
  start();
  VfSide web = vf(0);
  EXPECT_EQ(web.ask(mbx::Id::reset)[0], 0x8000'0001u);
  manager_->stop();
  EXPECT_EQ(web.word0(), mbx::kPfControl) << "a ping without CTS";
  EXPECT_FALSE(manager_->show().up);
}

TEST_F(OnSoftnic, ADeviceThatDiesIsNoticed) {
  start();
  stop_device();
  manager_->service();
  EXPECT_FALSE(manager_->alive());
}

TEST_F(OnSoftnic, MoreVfsThanTheDeviceHas) {
  auto opened = hw::open_function("vfio-user:" + (dir_ / "pf.sock").native());
  ASSERT_TRUE(opened);
  auto started = Manager::start(**opened, *parse_config("pf: {vfs: 5}", "pf.yaml"), {}, false);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().text, HasSubstr("pf.vfs: 5 wanted, the device has 4"));
}

}  // namespace
}  // namespace vigia::pf
