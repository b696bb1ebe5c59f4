// SPDX-License-Identifier: Apache-2.0
// Coming, going, crashing, flooding: what one client does must not be felt by another.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <fstream>

#include "fake_function.h"
#include "raw_client.h"
#include "tests/temp_dir.h"

namespace vigia::softnic::test {
namespace {

unsigned open_descriptors() {
  return static_cast<unsigned>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

class Lifecycle : public ::testing::Test {
 protected:
  void SetUp() override {
    server = std::move(*Server::create());
    ASSERT_TRUE(server->listen(path, model));
    ASSERT_TRUE(server->listen(other_path, other));
  }

  vigia::test::TempDir dir;
  std::filesystem::path path = dir / "vf0.sock", other_path = dir / "vf1.sock";
  FakeFunction model{true}, other{false, "vf1"};
  std::unique_ptr<Server> server;
};

TEST_F(Lifecycle, ListenRefusesWhatIsInTheWay) {
  auto second = std::move(*Server::create());
  const auto live = second->listen(path, other);
  ASSERT_FALSE(live);
  EXPECT_NE(live.error().text.find("another process serves it"), std::string::npos) << live.error().text;
  std::ofstream(dir / "file") << "precious";
  const auto file = second->listen(dir / "file", other);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().exit_status(), 2);
  EXPECT_TRUE(std::filesystem::exists(dir / "file"));
  EXPECT_FALSE(second->listen(dir / "none/x.sock", other));
  EXPECT_EQ(second->listen(dir / std::string(120, 'x'), other).error().exit_status(), 2);
}

TEST_F(Lifecycle, AStaleSocketIsReplaced) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto listener = hw::listen_unix(dir / "stale.sock", hw::Audience::anyone);
    ::_exit(listener ? 0 : 1);  // dies without removing it
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(std::filesystem::exists(dir / "stale.sock"));
  FakeFunction third(false, "vf2");
  auto second = std::move(*Server::create());
  EXPECT_TRUE(second->listen(dir / "stale.sock", third));
  RawClient client(*second, dir / "stale.sock");
}

TEST_F(Lifecycle, CloseRemovesTheSockets) {
  server->close();
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(other_path));
  server->close();
}

TEST_F(Lifecycle, DisconnectDropsAllAndTheNextClientFindsNothing) {
  const Fd ram = memfd(4096), interrupt = event();
  for (unsigned round = 1; round <= 3; ++round) {
    RawClient client(*server, path);
    EXPECT_EQ(model.dma().ranges(), 0u);
    EXPECT_EQ(model.assigned(), 0u);
    EXPECT_EQ(client.map(0, 4096, ram.get()).error(), 0);
    EXPECT_EQ(client.set_irqs(kIrqDataEventfd | kIrqTrigger, 2, 0, 1, {interrupt.get()}).error(), 0);
    client.hang_up();
    EXPECT_EQ(model.detachments, round);
    EXPECT_EQ(model.dma().ranges(), 0u);
  }
}

TEST_F(Lifecycle, ASecondClientIsTurnedAwayAndTheFirstGoesOn) {
  RawClient first(*server, path);
  RawClient second(*server, path, false);
  EXPECT_TRUE(second.closed());
  EXPECT_EQ(first.request(Command::device_reset, {}).error(), 0);
  EXPECT_EQ(model.detachments, 0u);
  first.hang_up();
  RawClient third(*server, path);
}

TEST_F(Lifecycle, AKilledClientsSuccessorNeedNotWait) {
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {  // posts writes and dies before anybody reads them
      auto socket = hw::connect_unix(path, 1000);
      const Bytes hello = bytes_of(RawClient::header(Command::version, 4)) + bytes_of(Version{0, 0});
      const Bytes write = bytes_of(RawClient::header(Command::region_write, 20, kNoReply)) +
                          bytes_of(RegionAccess{0x40, 0, 4}) + bytes_of(static_cast<std::uint32_t>(round));
      (void)hw::send_with_fds(socket->get(), hello, write, {}, 0);
      (void)hw::send_with_fds(socket->get(), std::span(write).first(30), {}, {}, 0);  // killed in mid-message
      ::raise(SIGKILL);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    RawClient client(*server, path);
    EXPECT_EQ(client.read(0, 0x40, 4).as<std::uint32_t>(16), static_cast<std::uint32_t>(round)) << "whole writes count";
    client.hang_up();
  }
  EXPECT_EQ(model.detachments, 40u);
}

TEST_F(Lifecycle, MessagesInPiecesAreOneMessage) {
  RawClient client(*server, path);
  const Fd ram = memfd(4096);
  const Bytes whole = bytes_of(RawClient::header(Command::dma_map, 32)) + bytes_of(DmaMap{32, 3, 0, 0x5000, 4096});
  for (std::size_t i = 0; i < whole.size(); ++i) {
    ASSERT_TRUE(client.send({whole[i]}, i == 0 ? std::vector{ram.get()} : std::vector<int>{}));
    client.pump();
  }
  EXPECT_EQ(client.receive().error(), 0);
  EXPECT_NE(model.dma().translate(hw::Iova{0x5000}, 4096, true), nullptr) << "with the descriptor of its first byte";
}

TEST_F(Lifecycle, AnUnfinishedMessageIsGivenUpEvenIfItHoldsItsOwnSocket) {
  auto client = std::make_unique<RawClient>(*server, path);
  const Bytes half(1, std::byte{1});
  ASSERT_TRUE(client->send(half, {client->socket()}));  // now the server holds the client's end, too
  client->pump();
  client.reset();
  EXPECT_EQ(model.detachments, 0u);
  const auto start = std::chrono::steady_clock::now();
  while (model.detachments == 0 && std::chrono::steady_clock::now() - start < std::chrono::seconds(5)) {
    (void)server->poll(1000);
  }
  EXPECT_EQ(model.detachments, 1u);
  RawClient next(*server, path);
}

TEST_F(Lifecycle, DescriptorsBesideTheHeaderAreNotKept) {
  RawClient client(*server, path);
  const Fd ram = memfd(4096);
  const unsigned before = open_descriptors();
  ASSERT_TRUE(client.send(bytes_of(RawClient::header(Command::dma_map, 32))));
  ASSERT_TRUE(client.send(bytes_of(DmaMap{32, 3, 0, 0x5000, 4096}), {ram.get()}));
  EXPECT_EQ(client.receive().error(), 0) << "a range without a file";
  EXPECT_EQ(model.dma().translate(hw::Iova{0x5000}, 1, false), nullptr);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(Lifecycle, TooManyDescriptorsWithOneHeader) {
  RawClient client(*server, path);
  const Fd e = event();
  const unsigned before = open_descriptors();
  // 32 in one go: the kernel drops what does not fit and says so.
  const Header h = RawClient::header(Command::device_set_irqs, 20);
  Bytes message = bytes_of(h) + bytes_of(SetIrqs{20, kIrqDataEventfd | kIrqTrigger, 2, 0, 16});
  iovec part{message.data(), message.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(32 * sizeof(int))> control{};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control.data();
  m.msg_controllen = control.size();
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(32 * sizeof(int));
  for (std::size_t i = 0; i < 32; ++i) {
    const int fd = e.get();
    std::memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
  }
  ASSERT_EQ(::sendmsg(client.socket(), &m, 0), static_cast<ssize_t>(message.size()));
  EXPECT_EQ(client.receive().error(), EINVAL);
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(model.assigned(), 0u);
  // Byte by byte with 16 each: more than one message may have.
  const std::vector<int> many(16, e.get());
  ASSERT_TRUE(client.send({message[0]}, many));
  ASSERT_TRUE(client.send({message[1]}, many));
  EXPECT_TRUE(client.closed());
  client.hang_up();
  EXPECT_EQ(open_descriptors(), before - 2) << "both ends of the connection, and none of the 32";
}

TEST_F(Lifecycle, NoDescriptorLeaksOverManyMessages) {
  RawClient client(*server, path);
  const Fd ram = memfd(1u << 16), e = event();
  const unsigned before = open_descriptors();
  for (std::uint64_t i = 0; i < 16; ++i) {
    EXPECT_EQ(client.map(i << 12, 4096, ram.get(), i << 12).error(), 0);
    EXPECT_NE(client.map(i << 12, 4096, ram.get(), i << 12).error(), 0);
    EXPECT_NE(client.request(Command::device_reset, {}, {ram.get(), e.get()}).error(), 0);
    EXPECT_NE(client.set_irqs(kIrqDataEventfd | kIrqTrigger, 2, 0, 1, {ram.get()}).error(), 0);
    EXPECT_NE(client.set_irqs(kIrqDataEventfd | kIrqTrigger, 2, 99, 2, {e.get(), e.get()}).error(), 0);
    client.post(Command::device_get_region_info, bytes_of(RegionInfo{4096, 0, 0, 0, 0, 0}), {e.get()});
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(Lifecycle, WhoDoesNotReadItsRepliesIsDisconnectedAt4MiB) {
  RawClient greedy(*server, path);
  RawClient patient(*server, other_path);
  const Bytes ask = bytes_of(RawClient::header(Command::region_read, 16)) + bytes_of(RegionAccess{0, 0, 16384});
  unsigned asked = 0;
  while (model.detachments == 0 && asked < 2000) {
    if (greedy.send(ask)) ++asked;
    server->poll(0);
    ASSERT_EQ(patient.read(0, 0, 4).error(), 0) << "others are served all the time";
  }
  EXPECT_EQ(model.detachments, 1u);
  EXPECT_GT(asked, 200u) << "4 MiB hold 255 such replies";
  EXPECT_LT(asked, 400u);
}

TEST_F(Lifecycle, QueuedRepliesArriveWholeAndInOrder) {
  RawClient client(*server, path);
  constexpr std::uint16_t kAsked = 100;  // 1.6 MB: more than a socket holds
  for (std::uint16_t i = 0; i < kAsked; ++i) {
    ASSERT_EQ(model.detachments, 0u);
    const Bytes ask =
        bytes_of(RawClient::header(Command::region_read, 16, kRequest, i)) + bytes_of(RegionAccess{0, 0, 16384});
    ASSERT_TRUE(client.send(ask));
    client.pump();
  }
  const Bytes info = bytes_of(RawClient::header(Command::device_get_region_info, 32, kRequest, kAsked)) +
                     bytes_of(RegionInfo{4096, 0, 0, 0, 0, 0});
  ASSERT_TRUE(client.send(info));
  for (std::uint16_t i = 0; i <= kAsked; ++i) {
    const Answer a = client.receive();
    ASSERT_EQ(a.error(), 0) << i;
    ASSERT_EQ(a.header.id, i);
    ASSERT_EQ(a.payload.size(), i < kAsked ? 16u + 16384 : 80u);
    EXPECT_EQ(a.fds.size(), i < kAsked ? 0u : 1u) << "a descriptor waits with its message";
  }
}

TEST_F(Lifecycle, AFloodIsServedInTurns) {
  RawClient flood(*server, path);
  RawClient calm(*server, other_path);
  const Bytes write = bytes_of(RawClient::header(Command::region_write, 20, kNoReply)) +
                      bytes_of(RegionAccess{0, 0, 4}) + bytes_of(std::uint32_t{1});
  while (flood.send(write)) {  // until the socket is full
  }
  const unsigned before = model.writes;
  EXPECT_LE(server->poll(0), 64u);
  EXPECT_LE(model.writes - before, 64u);
  ASSERT_TRUE(calm.send(bytes_of(RawClient::header(Command::device_reset, 0))));
  (void)server->poll(0);
  EXPECT_EQ(other.resets, 1u) << "within one turn, whatever the other one sends";
}

TEST_F(Lifecycle, AFloodOfRefusalsDoesNotFloodTheLog) {
  RawClient client(*server, path);
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 100; ++i) client.post(static_cast<Command>(99), {});
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 8);
  EXPECT_NE(log.find("not logged"), std::string::npos);
}

TEST_F(Lifecycle, AnnouncedLengthsCostNothingUntilTheBytesCome) {
  RawClient client(*server, path);
  ASSERT_TRUE(client.send(bytes_of(RawClient::header(Command::region_write, kMaxDataTransfer + 16))));
  client.pump();
  RawClient calm(*server, other_path);
  EXPECT_EQ(calm.request(Command::device_reset, {}).error(), 0);
  client.hang_up();
  EXPECT_EQ(model.detachments, 1u);
  EXPECT_EQ(model.writes, 0u);
}

TEST_F(Lifecycle, CloseWithUnreadInputIsNoResetForTheClient) {
  RawClient client(*server, path);
  ASSERT_TRUE(client.send(bytes_of(RawClient::header(Command::device_reset, 0))));  // nobody polls: unread
  server->close();
  std::byte b;
  EXPECT_EQ(::recv(client.socket(), &b, 1, 0), 0) << std::strerror(errno);
}

TEST_F(Lifecycle, AFileShrunkByTheClientDoesNotKillTheDevice) {
  RawClient client(*server, path);
  const Fd ram = memfd(1u << 16);
  ASSERT_EQ(client.map(0, 1u << 16, ram.get()).error(), 0);
  ASSERT_EQ(::ftruncate(ram.get(), 0), 0);
  const std::byte data[64] = {};
  EXPECT_TRUE(model.dma().write(hw::Iova{0x8000}, data));
  EXPECT_TRUE(model.dma().truncated());
  EXPECT_EQ(client.request(Command::device_reset, {}).error(), 0);
}

TEST_F(Lifecycle, AdoptTakesAConnectedSocketOnceAtATime) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  const Fd ours(ends[0]);
  ASSERT_TRUE(server->adopt(Fd(ends[1]), model));
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  const Fd second(ends[0]);
  EXPECT_FALSE(server->adopt(Fd(ends[1]), model));
  const Bytes hello = bytes_of(RawClient::header(Command::version, 4)) + bytes_of(Version{0, 0});
  ASSERT_EQ(::send(ours.get(), hello.data(), hello.size(), 0), 20);
  EXPECT_EQ(server->poll(0), 1u);
}

}  // namespace
}  // namespace vigia::softnic::test
