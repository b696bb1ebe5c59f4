// SPDX-License-Identifier: Apache-2.0
// VfioUserFunction against Server, end to end over a socket, the server in a thread of its own.
#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "fake_function.h"
#include "hw/vfio_user_function.h"
#include "softnic/server.h"
#include "tests/temp_dir.h"

namespace vigia::softnic::test {
namespace {

using hw::VfioUserFunction;

// Registers as the tests see them.
constexpr hw::Reg<hw::Access::read_write, 1, hw::Linear{0x0100, 0}> kPlain{"PLAIN"};
constexpr hw::Reg<hw::Access::read_write, 4, hw::Linear{0x1018, 0x40}> kTail{"TAIL"};

class EndToEnd : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    start();
    connect();
  }
  void TearDown() override {
    function.reset();
    stop();
  }
  void start() {
    server = std::move(*Server::create());
    ASSERT_TRUE(server->listen(path, model));
    stopping = false;
    thread = std::thread([this] {
      while (!stopping.load()) (void)server->poll(5);
    });
  }
  void stop() {
    if (!thread.joinable()) return;
    stopping = true;
    thread.join();
    server.reset();
  }
  void connect() {
    auto opened = hw::open_function("vfio-user:" + path.native());
    ASSERT_TRUE(opened) << opened.error().text;
    function = std::move(*opened);
  }
  bool eventually(const std::function<bool()>& ready) {
    return static_cast<bool>(wait_until("test", std::chrono::seconds(5), ready));
  }

  vigia::test::TempDir dir;
  std::filesystem::path path = dir / "vf0.sock";
  FakeFunction model{GetParam()};
  std::unique_ptr<Server> server;
  std::atomic<bool> stopping = false;
  std::thread thread;
  std::unique_ptr<hw::PciFunction> function;
};

TEST_P(EndToEnd, Identity) {
  EXPECT_EQ(function->id(), (hw::PciId{0x8086, 0x10ed}));
  EXPECT_EQ(function->name(), "vfio-user:" + path.native());
  EXPECT_TRUE(function->alive());
  EXPECT_EQ(dynamic_cast<VfioUserFunction&>(*function).posts_writes(), !GetParam());
}

TEST_P(EndToEnd, RegistersTrappedAndMapped) {
  auto bar = function->map_bar(0);
  ASSERT_TRUE(bar) << bar.error().text;
  EXPECT_EQ(*function->map_bar(0), *bar) << "the same object";
  EXPECT_EQ((*bar)->size(), FakeFunction::kBarSize);
  (*bar)->write(kPlain, 0x12345678);
  EXPECT_EQ((*bar)->read(kPlain), 0x12345678u) << "a read is a fence for posted writes";
  const unsigned trapped = model.reads + model.writes;
  hw::Doorbell tail = (*bar)->doorbell(kTail, 2);
  tail.ring(77);
  EXPECT_EQ(tail.read(), 77u);
  EXPECT_EQ(model.bar_word(0x1018 + 2 * 0x40), 77u);
  if (GetParam()) {
    EXPECT_EQ(model.reads + model.writes, trapped) << "no message for a mapped doorbell";
  }
  for (const unsigned absent : {1u, 3u, 5u, 6u, 7u, 99u}) {
    const auto none = function->map_bar(absent);
    ASSERT_FALSE(none);
    EXPECT_NE(none.error().text.find("no such BAR"), std::string::npos);
  }
}

TEST_P(EndToEnd, ConfigurationSpaceAndBusMaster) {
  EXPECT_EQ(*function->config_read(0, 2), 0x8086u);
  EXPECT_EQ(*function->config_read(3, 1), 0x10u);
  ASSERT_TRUE(function->config_write(0x3c, 1, 0x55));
  EXPECT_EQ(*function->config_read(0x3c, 4), 0x55u);
  ASSERT_TRUE(function->set_bus_master(true));
  EXPECT_EQ(model.command(), 6u);
  ASSERT_TRUE(function->set_bus_master(false));
  EXPECT_EQ(model.command(), 2u) << "registers stay readable";
}

TEST_P(EndToEnd, DmaMemoryIsSharedAndGoesAway) {
  auto a = hw::DmaMemory::allocate(8192, "a"), b = hw::DmaMemory::allocate(4096, "b");
  ASSERT_TRUE(a && b);
  const auto ia = function->map_dma(*a), ib = function->map_dma(*b);
  ASSERT_TRUE(ia && ib);
  EXPECT_GE(hw::to_integer(*ia), 1ull << 32);
  EXPECT_EQ(hw::to_integer(*ib) % b->page_size(), 0u);
  EXPECT_TRUE(to_integer(*ib) >= to_integer(*ia) + a->size() || to_integer(*ia) >= to_integer(*ib) + b->size());
  EXPECT_FALSE(function->unmap_dma(*ia, 4096)) << "not what was mapped";
  EXPECT_FALSE(function->unmap_dma(hw::Iova{0}, 4096));
  ASSERT_TRUE(function->unmap_dma(*ia, a->size()));
  EXPECT_EQ(*function->map_dma(*a), *ia) << "the first gap that fits";
  stop();  // now the model is ours
  // The server has detached: nothing of the client's memory is left.
  EXPECT_EQ(model.dma().ranges(), 0u);
}

TEST_P(EndToEnd, TheDeviceReachesDmaMemory) {
  auto memory = hw::DmaMemory::allocate(8192, "ring");
  const auto iova = function->map_dma(*memory);
  ASSERT_TRUE(iova);
  const auto value = static_cast<std::byte>(0x5a);
  std::thread device([&] {  // after the reply the server's thread is idle, so this is what it would do
    EXPECT_TRUE(model.dma().write(*iova + 5000, std::span(&value, 1)));
  });
  device.join();
  EXPECT_EQ(memory->data()[5000], value);
}

TEST_P(EndToEnd, MsixVectorsInChunksOfWhatTheServerTakes) {
  EXPECT_FALSE(function->enable_msix(0));
  const auto too_many = function->enable_msix(FakeFunction::kVectors + 1);
  ASSERT_FALSE(too_many);
  EXPECT_NE(too_many.error().text.find("it has 20"), std::string::npos) << too_many.error().text;
  const auto fds = function->enable_msix(FakeFunction::kVectors);
  ASSERT_TRUE(fds) << fds.error().text;
  ASSERT_EQ(fds->size(), 20u);
  EXPECT_EQ(model.assigned(), 20u);
  EXPECT_TRUE(model.msix_enabled());
  for (unsigned v = 0; v < 20; ++v) {
    std::uint64_t n = v + 1, got = 0;
    {
      const std::lock_guard guard(model.lock);
      ASSERT_EQ(::write(model.eventfds.at(v).get(), &n, 8), 8);
    }
    ASSERT_EQ(::read((*fds)[v], &got, 8), 8);
    EXPECT_EQ(got, v + 1) << "each vector reaches its own eventfd";
    EXPECT_EQ(::read((*fds)[v], &got, 8), -1) << "and is non-blocking";
  }
  ASSERT_TRUE(function->reset());
  EXPECT_EQ(model.resets, 1u);
  EXPECT_EQ(model.assigned(), 20u);
  ASSERT_TRUE(function->enable_msix(2)) << "again, with fewer";
  EXPECT_EQ(model.assigned(), 2u);
  ASSERT_TRUE(function->disable_msix());
  EXPECT_EQ(model.assigned(), 0u);
  EXPECT_FALSE(model.msix_enabled());
}

TEST_P(EndToEnd, TheDestructorLeavesAQuietDevice) {
  auto memory = hw::DmaMemory::allocate(4096, "m");
  ASSERT_TRUE(function->map_dma(*memory));
  ASSERT_TRUE(function->set_bus_master(true));
  ASSERT_TRUE(function->enable_msix(3));
  function.reset();
  EXPECT_TRUE(eventually([&] { return model.detachments == 1; }));
  EXPECT_EQ(model.command() & 4, 0);
  EXPECT_FALSE(model.msix_enabled());
  connect();
  EXPECT_TRUE(function->alive());
}

TEST_P(EndToEnd, ASecondDriverIsTold) {
  const auto second = hw::open_function("vfio-user:" + path.native());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().text.find("is another one attached?"), std::string::npos) << second.error().text;
  EXPECT_TRUE(function->alive());
}

TEST_P(EndToEnd, ADeadServerReadsAsOnesAndNeverHangs) {
  auto bar = function->map_bar(0);
  ASSERT_TRUE(bar);
  hw::Doorbell tail = (*bar)->doorbell(kTail);
  tail.ring(5);
  (*bar)->write(kPlain, 1);
  EXPECT_EQ((*bar)->read(kPlain), 1u);
  stop();
  const auto start_time = std::chrono::steady_clock::now();
  EXPECT_FALSE(function->alive()) << "noticed without a request";
  EXPECT_EQ((*bar)->read(kPlain), 0xffffffffu);
  EXPECT_EQ(tail.read(), 0xffffffffu) << "mapped registers, too";
  (*bar)->write(kPlain, 2);
  tail.ring(6);
  EXPECT_FALSE(function->config_read(0, 4));
  EXPECT_FALSE(function->set_bus_master(true));
  EXPECT_FALSE(function->reset());
  EXPECT_FALSE(function->enable_msix(1));
  auto memory = hw::DmaMemory::allocate(4096, "m");
  const auto mapped = function->map_dma(*memory);
  ASSERT_FALSE(mapped);
  EXPECT_EQ(mapped.error().exit_status(), 1);
  function.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start_time, std::chrono::seconds(2));
  start();
  connect();
  EXPECT_TRUE(function->alive()) << "a new server takes a new driver";
}

TEST_P(EndToEnd, ThreadsMayShareAFunction) {
  auto bar = function->map_bar(0);
  ASSERT_TRUE(bar);
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint32_t i = 0; i < 200; ++i) {
        (*bar)->store(0x200 + 4 * t, i);
        EXPECT_EQ((*bar)->load(0x200 + 4 * t), i);
        EXPECT_TRUE(function->alive());
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

INSTANTIATE_TEST_SUITE_P(Doorbells, EndToEnd, ::testing::Bool(),
                         [](const auto& with) { return with.param ? "mapped" : "trapped"; });

}  // namespace
}  // namespace vigia::softnic::test
