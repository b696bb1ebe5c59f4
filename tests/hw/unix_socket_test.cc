// SPDX-License-Identifier: Apache-2.0
#include "hw/unix_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tests/temp_dir.h"

namespace vigia::hw {
namespace {

class UnixSocket : public ::testing::TestWithParam<SocketKind> {
 protected:
  // Bound now, listens after a while.
  void begin_to_serve(const std::filesystem::path& path) {
    slow_ = Fd(::socket(AF_UNIX, (GetParam() == SocketKind::stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.native().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(slow_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    thread_ = std::thread([this] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      ::listen(slow_.get(), 4);
    });
  }
  void TearDown() override {
    if (thread_.joinable()) thread_.join();
  }

  test::TempDir dir_;
  Fd slow_;
  std::thread thread_;
};

TEST_P(UnixSocket, WhoSeesThePathCanConnect) {
  begin_to_serve(dir_ / "a.sock");
  const auto connected = connect_unix(dir_ / "a.sock", 1000, GetParam());
  EXPECT_TRUE(connected) << connected.error().text;
}

TEST_P(UnixSocket, AServerThatJustBeginsIsNotStale) {
  begin_to_serve(dir_ / "a.sock");
  const auto second = listen_unix(dir_ / "a.sock", Audience::owner, GetParam());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, std::errc::address_in_use) << second.error().text;
}

TEST_P(UnixSocket, AStaleOneRefusesAndIsReplaced) {
  { const auto dead = listen_unix(dir_ / "a.sock", Audience::owner, GetParam()); }
  const auto refused = connect_unix(dir_ / "a.sock", 1000, GetParam());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, std::errc::connection_refused) << refused.error().text;
  EXPECT_TRUE(listen_unix(dir_ / "a.sock", Audience::owner, GetParam()));
}

TEST_P(UnixSocket, OneOfManyHasThePath) {
  std::atomic<int> had = 0, refused = 0;
  std::vector<Fd> listeners(8);
  std::vector<std::thread> threads;
  for (Fd& mine : listeners) {
    threads.emplace_back([&] {
      auto listener = listen_unix(dir_ / "a.sock", Audience::owner, GetParam());
      if (listener) {
        mine = std::move(*listener);
        ++had;
      } else if (listener.error().code == std::errc::address_in_use) {
        ++refused;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(had, 1);
  EXPECT_EQ(refused, 7);
  EXPECT_TRUE(connect_unix(dir_ / "a.sock", 0, GetParam()));
}

TEST_P(UnixSocket, OfTheOwnerOnly) {
  const auto listener = listen_unix(dir_ / "a.sock", Audience::owner, GetParam());
  struct stat st {};
  ASSERT_EQ(::stat((dir_ / "a.sock").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_P(UnixSocket, AnotherKindOfSocketIsServedBySomebodyElse) {
  const auto other = GetParam() == SocketKind::stream ? SocketKind::packets : SocketKind::stream;
  const auto listener = listen_unix(dir_ / "a.sock", Audience::owner, other);
  const auto second = listen_unix(dir_ / "a.sock", Audience::owner, GetParam());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, std::errc::address_in_use) << second.error().text;
}

INSTANTIATE_TEST_SUITE_P(Kinds, UnixSocket, ::testing::Values(SocketKind::stream, SocketKind::packets));

}  // namespace
}  // namespace vigia::hw
