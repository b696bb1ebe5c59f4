// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/listener_protocol.h"
#include "vfdriver/listener_server.h"
#include "vfdriver/run_dir.h"

namespace vigia::vf {
namespace {

// Of one queue: whole frames, one after the other from that index on.
std::uint64_t read_frames(MergedReader& reader, std::uint64_t first) {
  return reader.read(1'000'000, [next = first](const FrameView& view) mutable {
    EXPECT_TRUE(is_frame(view, next)) << next;
    ++next;
  });
}

using std::chrono::milliseconds;

struct ServerUnderTest {
  ServerUnderTest()
      : path(dir / "x.sock"), server(must(ListenerServer::create(path, {{&ring.memory, &ring.table}}, [] {
          return std::string("{\"name\":\"x\"}");
        }))) {}

  // Serves while another thread talks to it.
  template <class Talk>
  void serve_while(Talk talk) {
    std::atomic<bool> done{false};
    std::thread thread([&] {
      talk();
      done = true;
    });
    while (!done) server.serve(milliseconds(2));
    thread.join();
    server.serve(milliseconds(2));
  }

  TempDir dir;
  std::filesystem::path path;
  RingUnderTest ring;
  ListenerServer server;
};

TEST(ListenerServer, AttachedListenerReadsAndLeaves) {
  ServerUnderTest t;
  t.ring.append(100);
  t.ring.writer.publish();
  std::optional<Attachment> attached;
  t.serve_while([&] { attached.emplace(must(Attachment::attach(t.path, ListenerKind::lossless))); });
  ASSERT_EQ(t.server.listeners().size(), 1u);
  EXPECT_EQ(t.server.listeners()[0].pid, ::getpid());
  EXPECT_EQ(t.server.listeners()[0].joined.frame, 1u);
  for (int i = 0; i < 5; ++i) t.ring.append(100);
  t.ring.writer.publish();
  EXPECT_EQ(read_frames(attached->reader(), 1), 5u);
  EXPECT_EQ(t.server.listeners()[0].frames_read, 5u);
  EXPECT_EQ(t.server.listeners()[0].behind_bytes, 0u);
  EXPECT_TRUE(attached->connected());
  attached.reset();
  t.server.serve(milliseconds(5));
  EXPECT_TRUE(t.server.listeners().empty());
  EXPECT_FALSE(t.ring.table.kind(0));
}

TEST(ListenerServer, InfoIsAnsweredWhenAllSlotsAreTaken) {
  ServerUnderTest t;
  std::vector<Attachment> all;
  t.serve_while([&] {
    for (unsigned i = 0; i < ListenerTable::kSlots; ++i) {
      all.push_back(must(Attachment::attach(t.path, ListenerKind::overwritable)));
    }
    const auto more = Attachment::attach(t.path, ListenerKind::overwritable);
    EXPECT_FALSE(more);
    if (!more) {
      EXPECT_NE(more.error().text.find("all 32 listener slots are taken"), std::string::npos);
    }
    EXPECT_EQ(must(ask_info(t.path)), "{\"name\":\"x\"}");
  });
}

TEST(ListenerServer, KilledListenerFreesItsSlotAndTheWriter) {
  ServerUnderTest t;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto attached = Attachment::attach(t.path, ListenerKind::lossless);
    const char told = attached ? 'y' : 'n';
    if (::write(ready[1], &told, 1) != 1) ::_exit(1);
    for (;;) ::pause();  // never reads: holds the writer up until it dies
  }
  char told = 0;
  t.serve_while([&] { EXPECT_EQ(::read(ready[0], &told, 1), 1); });
  ASSERT_EQ(told, 'y');
  ASSERT_EQ(t.server.listeners().size(), 1u);
  EXPECT_EQ(t.server.listeners()[0].pid, child);
  while (t.ring.append(500)) t.ring.writer.publish();
  t.ring.writer.publish();
  EXPECT_FALSE(t.ring.append(500)) << "the listener is lossless and a full ring behind";
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  t.server.serve(milliseconds(20));
  EXPECT_TRUE(t.server.listeners().empty());
  t.ring.writer.publish();
  EXPECT_TRUE(t.ring.append(500)) << "a dead listener holds nobody up";
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(ListenerServer, EndOfTheCaptureProcessIsSeen) {
  auto t = std::make_unique<ServerUnderTest>();
  std::optional<Attachment> attached;
  t->serve_while([&] { attached.emplace(must(Attachment::attach(t->path, ListenerKind::overwritable))); });
  t->ring.append(60);
  t->ring.writer.publish();
  const auto path = t->path;
  t.reset();
  EXPECT_FALSE(attached->connected());
  EXPECT_EQ(read_frames(attached->reader(), 0), 1u) << "what was published can still be read";
  EXPECT_FALSE(std::filesystem::exists(path)) << "the socket is removed";
}

TEST(ListenerServer, LiveSocketIsRefusedAStaleOneReplaced) {
  ServerUnderTest t;
  const auto second = ListenerServer::create(t.path, {{&t.ring.memory, &t.ring.table}}, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().exit_status(), 2);
  EXPECT_NE(second.error().text.find("is running"), std::string::npos);
  const auto stale = t.dir / "stale.sock";
  {
    const Fd left_behind{::socket(AF_UNIX, SOCK_SEQPACKET, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    stale.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(::bind(left_behind.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  EXPECT_TRUE(ListenerServer::create(stale, {{&t.ring.memory, &t.ring.table}}, {}));
}

TEST(ListenerServer, NonsenseEndsTheConnectionOnly) {
  ServerUnderTest t;
  t.serve_while([&] {
    for (const std::size_t size : {std::size_t{1}, sizeof(listener_protocol::Request), std::size_t{5000}}) {
      const Fd socket = must(listener_protocol::connect_to(t.path));
      const std::vector<char> junk(size, 'x');
      EXPECT_EQ(::send(socket.get(), junk.data(), junk.size(), MSG_NOSIGNAL), static_cast<ssize_t>(size));
      char answer = 0;
      EXPECT_EQ(::recv(socket.get(), &answer, 1, 0), 0) << "closed";
    }
    const Fd socket = must(listener_protocol::connect_to(t.path));
    listener_protocol::Request request;
    request.verb = listener_protocol::Verb::attach;
    request.kind = 7;
    ::send(socket.get(), &request, sizeof(request), MSG_NOSIGNAL);
    listener_protocol::Reply reply;
    EXPECT_EQ(::recv(socket.get(), &reply, sizeof(reply), 0), static_cast<ssize_t>(sizeof(reply)));
    EXPECT_EQ(reply.failed, 1u);
  });
  EXPECT_TRUE(t.server.listeners().empty());
}

TEST(RunDir, NamesAndPaths) {
  TempDir dir;
  for (const char* bad : {"", ".", ".x", "a b", "x\n", "../x y"}) EXPECT_FALSE(check_name(bad)) << bad;
  EXPECT_FALSE(check_name(std::string(64, 'a')));
  EXPECT_TRUE(check_name(std::string(63, 'a')));
  EXPECT_EQ(must(socket_of("agent")), dir / "run/agent.sock");
  EXPECT_EQ(must(socket_of("./agent.sock")), "./agent.sock");
  const auto longer = socket_of("/" + std::string(120, 'x'));
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().exit_status(), 2);
  ASSERT_TRUE(make_run_dir());
  EXPECT_EQ(std::filesystem::status(run_dir()).permissions(), std::filesystem::perms::owner_all);
}

TEST(RunDir, TargetsNameACaptureOrOneOfItsQueues) {
  TempDir dir;
  struct Case {
    const char* text;
    std::filesystem::path socket;  // empty: refused
    std::optional<unsigned> queue;
  };
  const Case cases[] = {
      {"agent", dir / "run/agent.sock", {}},
      {"agent@0", dir / "run/agent.sock", 0},
      {"agent@13", dir / "run/agent.sock", 13},
      {"./a.sock", "./a.sock", {}},
      {"./a.sock@2", "./a.sock", 2},
      {"/run/a@b/c.sock", "/run/a@b/c.sock", {}},
      {"agent@", {}, {}},
      {"agent@x", {}, {}},
      {"agent@-1", {}, {}},
      {"agent@1x", {}, {}},
      {"agent@1@2", {}, {}},
      {"agent@99999999999", {}, {}},
      {"@1", {}, {}},
  };
  for (const Case& c : cases) {
    const auto target = target_of(c.text);
    ASSERT_EQ(static_cast<bool>(target), !c.socket.empty()) << c.text;
    if (target) {
      EXPECT_EQ(target->socket, c.socket) << c.text;
      EXPECT_EQ(target->queue, c.queue) << c.text;
    } else {
      EXPECT_EQ(target.error().exit_status(), 2) << c.text;
    }
  }
}

// Two queues: a listener joins both, or one of them.
TEST(ListenerServer, EachQueueHasItsOwnRingAndSlots) {
  TempDir dir;
  RingUnderTest first, second;
  auto server =
      must(ListenerServer::create(dir / "x.sock", {{&first.memory, &first.table}, {&second.memory, &second.table}},
                                  [] { return std::string("{}"); }));
  std::optional<Attachment> both, one;
  std::atomic<bool> done{false};
  std::thread talk([&] {
    both.emplace(must(Attachment::attach(dir / "x.sock", ListenerKind::lossless)));
    one.emplace(must(Attachment::attach(dir / "x.sock", ListenerKind::overwritable, 1)));
    const auto none = Attachment::attach(dir / "x.sock", ListenerKind::lossless, 2);
    EXPECT_FALSE(none);
    EXPECT_NE((none ? "" : none.error().text).find("no queue 2; the capture has 2"), std::string::npos);
    done = true;
  });
  while (!done) server.serve(milliseconds(2));
  talk.join();
  server.serve(milliseconds(2));
  const auto listeners = server.listeners();
  ASSERT_EQ(listeners.size(), 3u);
  EXPECT_EQ(listeners[0].queue + listeners[1].queue + listeners[2].queue, 2u);
  for (int i = 0; i < 3; ++i) first.append(100);
  for (int i = 0; i < 5; ++i) second.append(100);
  for (RingUnderTest* ring : {&first, &second}) ring->writer.close();
  EXPECT_EQ(one->reader().read(100, [](const FrameView&) {}), 5u);
  std::uint64_t last = 0;
  EXPECT_EQ(both->reader().read(100,
                                [&](const FrameView& view) {
                                  EXPECT_GE(view.stamp.total_ns(), last);
                                  last = view.stamp.total_ns();
                                }),
            8u);
  EXPECT_EQ(both->reader().queue(0).frames_read(), 3u);
  EXPECT_EQ(both->reader().queue(1).frames_read(), 5u);
  both.reset();
  server.serve(milliseconds(5));
  ASSERT_EQ(server.listeners().size(), 1u);
  EXPECT_FALSE(first.table.kind(0)) << "both slots are free again";
}

TEST(Attach, NobodyThereIsSaid) {
  TempDir dir;
  const auto result = Attachment::attach(dir / "none.sock", ListenerKind::lossless);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().exit_status(), 1);
  EXPECT_NE(result.error().text.find("is a vigia-capture of that name running?"), std::string::npos);
}

}  // namespace
}  // namespace vigia::vf
