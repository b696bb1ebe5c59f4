// SPDX-License-Identifier: Apache-2.0
// Several queues: lanes side by side, their rings merged, their files, what one listener does to the others.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "hw/accounts.h"
#include "tests/vfdriver/capture_fixture.h"
#include "vfdriver/extract.h"
#include "vfdriver/frame_limit.h"
#include "vfdriver/lane.h"
#include "vfdriver/listener_server.h"
#include "vfdriver/quota.h"
#include "vfdriver/raw_files.h"
#include "vfdriver/reader.h"
#include "vfdriver/run_dir.h"

namespace vigia::vf {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// Frames of a FakeDevice: each queue's in order and without a gap, stamps never backwards.
struct Seen {
  void operator()(const FrameView& view) {
    std::uint64_t number = 0;
    std::memcpy(&number, view.bytes.data(), sizeof(number));
    const std::uint64_t queue = number >> 32;
    ASSERT_LT(queue, next.size());
    EXPECT_EQ(number & 0xffffffff, next[queue]) << "of queue " << queue;
    next[queue] = (number & 0xffffffff) + 1;
    EXPECT_GE(view.stamp.total_ns(), last);
    last = view.stamp.total_ns();
    ++frames;
  }
  std::array<std::uint64_t, 4> next{};
  std::uint64_t frames = 0, last = 0;
};

Seen read_file(const std::filesystem::path& path) {
  Seen seen;
  auto reader = must(open_capture(path));
  FrameView view;
  while (must(reader->next(view))) seen(view);
  return seen;
}

TEST(FrameLimit, Table) {
  FrameLimit limit(40);
  EXPECT_FALSE(limit.reached());
  EXPECT_EQ(limit.claim(32), 32u);
  EXPECT_EQ(limit.claim(32), 8u);
  EXPECT_EQ(limit.claim(32), 0u);
  limit.settle(32, 30);
  EXPECT_FALSE(limit.reached()) << "2 came back";
  EXPECT_EQ(limit.claim(32), 2u);
  limit.settle(8, 8);
  limit.settle(2, 0);
  EXPECT_EQ(limit.claim(1), 1u);
  limit.settle(1, 1);
  EXPECT_FALSE(limit.reached());
  EXPECT_EQ(limit.claim(5), 1u);
  limit.settle(1, 1);
  EXPECT_TRUE(limit.reached());
}

struct LanesUnderTest {
  LanesUnderTest(unsigned n, ClockPolicy policy, FrameLimit* limit = nullptr)
      : clock(best_tick_source(), policy),
        ports(n),
        counters(must(hw::CounterFile::create({}, hw::accounts::capture_names(n)))) {
    for (unsigned q = 0; q < n; ++q) {
      ports[q].first = std::uint64_t{q} << 32;
      lanes.push_back(std::make_unique<Lane>(
          must(RingMemory::create(
              {.data_bytes = 1 << 20, .segment_bytes = 4 << 20, .mark_bytes = 64 * 1024, .max_captured = 1514}, "q")),
          must(ListenerTable::create()), q == 0 ? clock : clock.add_view(), counters,
          EngineOptions{.limit = limit, .link_mbps = 10'000, .lane = q}));
    }
  }
  MergedReader join(ListenerKind kind) {
    std::vector<RingReader> readers;
    for (const auto& lane : lanes) readers.push_back(must(lane->join(kind)));
    return MergedReader(std::move(readers));
  }
  void start() {
    for (std::size_t q = 0; q < lanes.size(); ++q) lanes[q]->start({&ports[q]}, std::nullopt);
  }
  void end() {
    for (const auto& lane : lanes) lane->stop();
    for (const auto& lane : lanes) lane->drain();
    for (const auto& lane : lanes) lane->close();
  }

  Clock clock;
  std::deque<FakePort> ports;
  hw::CounterFile counters;
  std::vector<std::unique_ptr<Lane>> lanes;
};

// Bursts and pauses of any length on every queue, engines that sleep, calibrations: what comes out merged is in order,
// and nothing is missing. Real threads (TSan runs this).
TEST(LaneThreads, MergedOrderHoldsWhateverTheQueuesDo) {
  for (const ClockPolicy policy : {ClockPolicy::kpt, ClockPolicy::udts, ClockPolicy::wdts, ClockPolicy::hybrid}) {
    LanesUnderTest t(3, policy);
    MergedReader merged = t.join(ListenerKind::lossless);
    Seen seen;
    std::thread reader([&] {
      while (!merged.finished()) {
        if (merged.read(1000, std::ref(seen)) == 0) std::this_thread::sleep_for(microseconds(50));
      }
    });
    t.start();
    std::minstd_rand random(7);
    for (int i = 0; i < 600; ++i) {
      t.ports[random() % 3].offered += random() % 40;
      if (i % 20 == 0) t.clock.calibrate();
      if (random() % 4 == 0) std::this_thread::sleep_for(microseconds(random() % 3000));
    }
    t.end();
    reader.join();
    std::uint64_t offered = 0;
    for (const FakePort& port : t.ports) offered += port.offered;
    EXPECT_EQ(seen.frames, offered) << name_of(policy);
    EXPECT_EQ(t.counters.snapshot().at("engine.taken"), offered);
  }
}

// A queue without traffic holds the others up for no longer than its engine sleeps.
TEST(LaneThreads, AnIdleQueueDelaysNobodyForLong) {
  LanesUnderTest t(2, ClockPolicy::hybrid);
  MergedReader merged = t.join(ListenerKind::lossless);
  t.start();
  for (int i = 0; i < 20; ++i) {
    ++t.ports[1].offered;
    const auto begin = std::chrono::steady_clock::now();
    while (merged.read(1, [](const FrameView&) {}) == 0) {
      ASSERT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
      std::this_thread::sleep_for(microseconds(100));
    }
  }
  t.end();
}

TEST(LaneThreads, TheLimitIsExactOverAll) {
  for (const std::uint64_t frames : {1u, 33u, 1000u}) {
    FrameLimit limit(frames);
    LanesUnderTest t(4, ClockPolicy::kpt, &limit);
    for (FakePort& port : t.ports) port.offered = 700;
    t.start();
    for (const auto& lane : t.lanes) {
      while (lane->engine().running()) std::this_thread::yield();
    }
    t.end();
    const auto accounts = t.counters.snapshot();
    EXPECT_EQ(accounts.at("engine.taken"), frames);
    EXPECT_EQ(accounts.at("engine.left_in_ring"), 4 * 700 - frames) << "ledger line 4";
  }
}

TEST(Queues, EveryFrameIsInTheFilesInTheOrderOfTime) {
  for (const unsigned queues : {2u, 4u}) {
    for (const char* store : {"a.pcapng", "a.raw", "raw"}) {
      CaptureUnderTest t(queues);
      t.options.port.queues = queues;
      const bool directory = store == std::string("raw");
      (directory ? t.options.raw : t.options.out) = t.dir / store;
      t.options.ring.segment_bytes = 2 << 20;
      t.start();
      std::uint64_t offered = 0;
      for (int i = 0; i < 50; ++i) {
        for (unsigned q = 0; q < queues; ++q) {
          t.device.ports[q].offered += 200 * (q + 1);
          offered += 200 * (q + 1);
        }
        std::this_thread::sleep_for(milliseconds(1));
      }
      t.wait_taken(offered / 2);
      ASSERT_TRUE(t.finish()) << t.result.error().text;
      const Seen seen = read_file(t.dir / store);
      EXPECT_EQ(seen.frames, offered) << store;
      const auto accounts = t.counters();
      EXPECT_EQ(accounts.at("engine.taken"), offered);
      EXPECT_EQ(accounts.at("engine@1.taken"), t.device.ports[1].offered);
      EXPECT_EQ(accounts.at("store.stored"), offered);
      EXPECT_EQ(accounts.contains("store@1.stored"), directory);
      EXPECT_EQ(accounts.at("store.read"), accounts.at("store.stored") + accounts.at("store.disk_dropped"));
      const auto stats = t.stats();
      EXPECT_EQ(stats["queues"], queues);
      EXPECT_EQ(stats["frames"], offered);
      EXPECT_EQ(stats["lost"], 0);
      ASSERT_EQ(stats["per_queue"].size(), queues);
      EXPECT_EQ(stats["per_queue"][1]["frames"], t.device.ports[1].offered.load());
      if (!directory) continue;
      for (unsigned q = 0; q < queues; ++q) {
        const auto files = list_raw_files(t.dir / store, queue_name("agent", q));
        ASSERT_FALSE(files.empty());
        EXPECT_EQ(files.front().filename(), queue_name("agent", q) + "-00000001.raw");
      }
      static const std::atomic<bool> never{false};
      const auto extracted = must(extract(
          {.inputs = {t.dir / store}, .filter = {}, .out = t.dir / "x.pcapng"}, [](const ExtractReport&) {}, never));
      EXPECT_EQ(extracted.frames, offered);
      EXPECT_EQ(read_file(t.dir / "x.pcapng").frames, offered);
    }
  }
}

TEST(Queues, OneQueueHasTheNamesItAlwaysHad) {
  CaptureUnderTest t;
  t.options.raw = t.dir / "raw";
  t.start();
  t.device.port.offered = 10;
  t.wait_taken(10);
  ASSERT_TRUE(t.finish());
  for (const auto& [name, value] : t.counters()) EXPECT_EQ(name.find('@'), name.npos) << name;
  EXPECT_EQ(list_raw_files(t.dir / "raw").front().filename(), "agent-00000001.raw");
}

// Who listens to NAME gets all, who listens to NAME@Q that queue.
TEST(Queues, VirtualCaptureDevices) {
  CaptureUnderTest t(2);
  t.options.port.queues = 2;
  t.start();
  const auto socket = must(socket_of("agent"));
  auto all = must(Attachment::attach(socket, ListenerKind::overwritable));
  auto second = must(Attachment::attach(socket, ListenerKind::overwritable, 1));
  t.device.ports[0].offered = 300;
  t.device.ports[1].offered = 200;
  t.wait_taken(500);
  const auto info = nlohmann::json::parse(must(ask_info(socket)));
  ASSERT_EQ(info["listeners"].size(), 3u);
  EXPECT_EQ(info["per_queue"][0]["frames"], 300);
  EXPECT_FALSE(info["cpus"]["why"].get<std::string>().empty());
  ASSERT_TRUE(t.finish());
  Seen merged, one;
  one.next[0] = 0xffffffff;  // a frame of it would be wrong
  while (!all.reader().finished()) all.reader().read(1000, std::ref(merged));
  while (!second.reader().finished()) second.reader().read(1000, std::ref(one));
  EXPECT_EQ(merged.frames, 500u);
  EXPECT_EQ(one.frames, 200u);
}

// Lossless listeners of one queue that never read: that queue's frames are dropped and counted, and no other's.
TEST(Queues, AStalledListenerOfOneQueueCostsTheOthersNothing) {
  CaptureUnderTest t(2);
  t.options.port.queues = 2;
  t.options.ring.data_bytes = 4 << 20;
  t.options.ring.segment_bytes = 8 << 20;
  t.start();
  const auto socket = must(socket_of("agent"));
  auto stalled = must(Attachment::attach(socket, ListenerKind::lossless, 1));
  auto lazy = must(Attachment::attach(socket, ListenerKind::overwritable));  // lapped alone
  auto good = must(Attachment::attach(socket, ListenerKind::lossless, 0));
  constexpr std::uint64_t kFrames = 150'000;  // of 72 bytes: more than twice a ring
  Seen seen;
  for (std::uint64_t fed = 0; fed < kFrames; fed += 1000) {
    for (FakePort& port : t.device.ports) port.offered += 1000;
    while (seen.frames + 10'000 < fed) good.reader().read(1000, std::ref(seen));
  }
  t.wait_taken(2 * kFrames);
  ASSERT_TRUE(t.finish());
  while (!good.reader().finished()) good.reader().read(1000, std::ref(seen));
  EXPECT_EQ(seen.frames, kFrames);
  const auto accounts = t.counters();
  EXPECT_EQ(accounts.at("engine@0.ring_full"), 0u);
  EXPECT_GT(accounts.at("engine@1.ring_full"), 0u);
  EXPECT_EQ(accounts.at("engine@1.ring_full") + accounts.at("engine@1.appended"), kFrames);
  std::uint64_t held = 0;
  while (!stalled.reader().finished()) stalled.reader().read(1000, [&](const FrameView&) { ++held; });
  EXPECT_EQ(held, accounts.at("engine@1.appended")) << "what was not overwritten for its sake";
  std::uint64_t late = 0;
  while (!lazy.reader().finished()) lazy.reader().read(1000, [&](const FrameView&) { ++late; });
  EXPECT_EQ(late + lazy.reader().gap().frames, accounts.at("engine.appended"));
}

// The process that listens to all queues, losslessly, is killed: every slot is free again, nobody is held up.
TEST(Queues, AKilledListenerHoldsNoQueueUp) {
  CaptureUnderTest t(2);
  t.options.port.queues = 2;
  t.options.ring.data_bytes = 4 << 20;
  t.options.ring.segment_bytes = 8 << 20;
  const auto socket = must(socket_of("agent"));
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();  // before there are threads
  if (child == 0) {
    while (!std::filesystem::exists(t.dir / "ready")) std::this_thread::sleep_for(milliseconds(1));
    const auto attached = Attachment::attach(socket, ListenerKind::lossless);
    const char told = attached ? 'y' : 'n';
    if (::write(ready[1], &told, 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  t.start();
  char told = 0;
  ASSERT_EQ(::read(ready[0], &told, 1), 1);
  ASSERT_EQ(told, 'y');
  const auto listeners = [&] { return nlohmann::json::parse(must(ask_info(socket)))["listeners"].size(); };
  EXPECT_EQ(listeners(), 2u);
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  while (listeners() > 0) std::this_thread::sleep_for(milliseconds(2));
  for (FakePort& port : t.device.ports) port.offered = 150'000;
  t.wait_taken(300'000);
  ASSERT_TRUE(t.finish());
  EXPECT_EQ(t.counters().at("engine.ring_full"), 0u);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(Queues, CountIsExactOverAll) {
  CaptureUnderTest t(4);
  t.options.port.queues = 4;
  t.options.max_frames = 1234;
  t.options.out = t.dir / "a.pcapng";
  for (FakePort& port : t.device.ports) port.offered = 5000;
  t.start();
  ASSERT_TRUE(t.finish(false));
  EXPECT_EQ(read_file(t.dir / "a.pcapng").frames, 1234u);
  EXPECT_EQ(t.counters().at("engine.left_in_ring"), 4 * 5000u - 1234);
}

TEST(Queues, ARestartedPfMayGrantMoreQueuesNotFewer) {
  for (const unsigned granted : {1u, 2u, 3u}) {
    CaptureUnderTest t(3);
    t.options.port.queues = 2;
    t.options.out = t.dir / "a.pcapng";
    t.device.granted = 2;
    t.start();
    t.device.ports[0].offered = 100;
    t.device.ports[1].offered = 100;
    t.wait_taken(200);
    t.device.granted = granted;
    t.device.state = Health::pf_reset;
    if (granted < 2) {
      const auto& result = t.finish(false);
      ASSERT_FALSE(result);
      EXPECT_NE(result.error().text.find("grants 1 receive queues now, 2 before"), std::string::npos);
      EXPECT_EQ(read_file(t.dir / "a.pcapng").frames, 200u) << "what there was is written";
      continue;
    }
    while (t.device.state != Health::good) std::this_thread::sleep_for(milliseconds(1));
    for (unsigned q = 0; q < granted; ++q) t.device.ports[q].offered += 100;
    t.wait_taken(200 + granted * 100);
    ASSERT_TRUE(t.finish());
    EXPECT_EQ(read_file(t.dir / "a.pcapng").frames, 200u + granted * 100);
  }
}

TEST(Queues, TheQuotaIsThatOfAllQueues) {
  TempDir dir;
  const auto make = [&](const std::string& name, int age) {
    spill(dir / name, std::vector<char>(100));
    std::filesystem::last_write_time(dir / name,
                                     std::filesystem::file_time_type::clock::now() - std::chrono::hours(age));
  };
  make("x@0-00000001.raw", 9);
  make("x@0-00000002.raw", 5);
  make("x@0-00000003.raw", 1);
  make("x@1-00000001.raw", 7);
  make("x@1-00000002.raw", 6);  // open: an idle queue
  make("x-00000001.raw", 8);    // of an earlier capture with one queue
  make("xy-00000001.raw", 99);
  make("x@1@1-00000001.raw", 99);
  make("x@y-00000001.raw", 99);
  struct Case {
    std::uint64_t quota, room;
    unsigned lanes;
    std::vector<std::string> go;
  };
  const Case cases[] = {
      {1000, 100, 2, {}},
      {600, 0, 2, {}},
      {600, 1, 2, {"x@0-00000001.raw"}},
      {500, 100, 2, {"x@0-00000001.raw", "x-00000001.raw"}},
      {400, 200, 2, {"x@0-00000001.raw", "x-00000001.raw", "x@1-00000001.raw", "x@0-00000002.raw"}},  // two stay
      {100, 200, 2, {"x@0-00000001.raw", "x-00000001.raw", "x@1-00000001.raw", "x@0-00000002.raw"}},
      {300, 100, 1, {"x@0-00000001.raw", "x-00000001.raw", "x@1-00000001.raw", "x@1-00000002.raw"}},
  };
  for (const Case& c : cases) {
    std::vector<std::string> go;
    for (const auto& file : surplus_files(dir / "", "x", c.quota, c.room, c.lanes)) go.push_back(file.filename());
    EXPECT_EQ(go, c.go) << c.quota << " " << c.room << " " << c.lanes;
  }
}

}  // namespace
}  // namespace vigia::vf
