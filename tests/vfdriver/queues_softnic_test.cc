// SPDX-License-Identifier: Apache-2.0
// A capture on several queues of the software 82599: RSS spreads the flows, each numbered frame is delivered once to
// everybody who is to have it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <deque>
#include <nlohmann/json.hpp>
#include <set>

#include "hw/counter_file.h"
#include "softnic/wire_gen.h"
#include "tests/vfdriver/lab.h"
#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/capture.h"
#include "vfdriver/listener_server.h"
#include "vfdriver/reader.h"
#include "vfdriver/run_dir.h"

namespace vigia::vf {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using test::mac_of;

// Of one stream: which frames of the generator, each once; stamps never backwards.
struct Numbers {
  void operator()(const FrameView& view) {
    const auto stamp = softnic::read_gen_stamp(view.bytes);
    ASSERT_TRUE(stamp);
    EXPECT_TRUE(seen.insert(stamp->sequence).second) << stamp->sequence << " came twice";
    EXPECT_GE(view.stamp.total_ns(), last);
    last = view.stamp.total_ns();
  }
  bool whole(std::uint64_t frames) const { return seen.size() == frames && *seen.rbegin() == frames - 1; }

  std::set<std::uint64_t> seen;
  std::uint64_t last = 0;
};

// In a thread, until the capture has ended.
struct Listening {
  Listening(const std::filesystem::path& socket, ListenerKind kind, std::optional<unsigned> queue)
      : attachment(must(Attachment::attach(socket, kind, queue))), thread([this] {
          while (!attachment.reader().finished()) {
            if (attachment.reader().read(1000, std::ref(numbers)) == 0) std::this_thread::sleep_for(100us);
          }
        }) {}
  ~Listening() { join(); }
  const Numbers& join() {
    if (thread.joinable()) thread.join();
    return numbers;
  }

  Attachment attachment;
  Numbers numbers;
  std::thread thread;
};

// A process that joins all queues losslessly, reads nothing, and waits to be killed. Forked before there are threads.
pid_t fork_listener(const std::filesystem::path& ready, const std::filesystem::path& socket, int tell) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  while (!std::filesystem::exists(ready)) std::this_thread::sleep_for(1ms);
  const auto attached = Attachment::attach(socket, ListenerKind::lossless);
  const char told = attached ? 'y' : 'n';
  if (::write(tell, &told, 1) != 1) ::_exit(1);
  for (;;) ::pause();
}

class OnSoftnicQueues : public ::testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Number, OnSoftnicQueues, ::testing::Values(2u, 4u));

TEST_P(OnSoftnicQueues, EveryFrameOnceToEachListenerWhateverBecomesOfOthers) {
  const unsigned queues = GetParam();
  constexpr std::uint64_t kFrames = 40'000;
  TempDir dir;
  const auto socket = must(socket_of("agent"));
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t victim = fork_listener(dir / "ready", socket, pipe[1]);

  softnic::DeviceOptions nic_options;
  nic_options.vfs = 2;
  nic_options.start_when_ready = 2;
  test::SoftNic nic(nic_options,
                    "gen:size=128,flows=256,count=" + std::to_string(kFrames) + ",dst=" + mac_of(0).text());
  const test::PfThread pf(nic, 2);
  CaptureOptions options;
  options.device = nic.spec("vf0");
  options.name = "agent";
  options.port.queues = queues;
  options.port.tx_ring = 0;
  options.ring.data_bytes = 8 << 20;
  options.out = dir / "agent.pcapng";
  options.counters = dir / "counters";
  options.stats_json = dir / "stats.json";
  options.ready_file = dir / "ready";
  StopRequest stop;
  Result<Done> result = Done{};
  std::thread capture([&] { result = run_capture(options, stop); });

  char told = 0;
  ASSERT_EQ(::read(pipe[0], &told, 1), 1);
  ASSERT_EQ(told, 'y');
  Listening all(socket, ListenerKind::lossless, {});
  std::deque<Listening> each;
  for (unsigned q = 0; q < queues; ++q) each.emplace_back(socket, ListenerKind::lossless, q);
  const auto stalled = Attachment::attach(socket, ListenerKind::overwritable, 0);
  ASSERT_TRUE(stalled) << stalled.error().text;

  // The wire begins when the second VF is there.
  PortOptions other;
  auto starter = open_port(nic.spec("vf1"), other);
  ASSERT_TRUE(starter) << starter.error().text;
  const auto counter = [&](const std::string& name) {
    const auto file = hw::read_counters(dir / "counters");
    return file && file->values.contains(name) ? file->values.at(name) : 0;
  };
  EXPECT_TRUE(eventually([&] { return counter("engine.taken") > kFrames / 4; }));
  ::kill(victim, SIGKILL);
  ASSERT_EQ(::waitpid(victim, nullptr, 0), victim);
  EXPECT_TRUE(eventually([&] { return counter("engine.taken") == kFrames; })) << counter("engine.taken");
  stop.stop = true;
  capture.join();
  ASSERT_TRUE(result) << result.error().text;
  EXPECT_TRUE((*starter)->stop());
  nic.stop();

  EXPECT_EQ(nic.account("vf0.written"), kFrames);
  EXPECT_TRUE(all.join().whole(kFrames)) << all.numbers.seen.size();
  std::set<std::uint64_t> together;
  for (unsigned q = 0; q < queues; ++q) {
    const auto& own = each[q].join().seen;
    EXPECT_EQ(own.size(), counter("engine@" + std::to_string(q) + ".taken"));
    EXPECT_GT(own.size(), kFrames / queues / 4) << "RSS gives each queue its share";
    for (const std::uint64_t n : own) EXPECT_TRUE(together.insert(n).second) << n << " is in two queues";
  }
  EXPECT_EQ(together.size(), kFrames);
  Numbers stored;
  auto file = open_capture(dir / "agent.pcapng");
  ASSERT_TRUE(file) << file.error().text;
  FrameView view;
  while (*(*file)->next(view)) stored(view);
  EXPECT_TRUE(stored.whole(kFrames)) << stored.seen.size();
  EXPECT_EQ(counter("store.stored"), kFrames);
  EXPECT_EQ(counter("engine.ring_full"), 0u);
  const auto stats = nlohmann::json::parse(slurp(dir / "stats.json"));
  EXPECT_EQ(stats["lost"], 0);
  EXPECT_EQ(stats["queues"], queues);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

}  // namespace
}  // namespace vigia::vf
