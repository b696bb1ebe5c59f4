// SPDX-License-Identifier: Apache-2.0
// Eight listeners that join, read, stall, leave and die at random beside a writer that waits for nobody. Two seconds;
// VIGIA_SOAK_SECONDS asks for more (`./dev check tsan` runs it, with all its threads, under TSan).
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/listener_server.h"

#ifdef __SANITIZE_THREAD__
// Whoever joins brings a page of its own, which is mapped over the one that the writer may just look at: a slot that
// was left is looked at for a moment longer (ListenerTable::leave). ThreadSanitizer takes a mapping for a write.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:vigia::vf::ListenerTable::lossless_floor"; }
#endif

namespace vigia::vf {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr unsigned kThreads = 6, kProcesses = 2;

struct Seen {
  std::uint64_t frames = 0, lapped = 0, wrong = 0;
};

// Says the first few that are wrong: what took minutes to happen is not repeated under a debugger.
void tell_wrong(ListenerKind kind, RingPoint read_from, std::uint64_t expected, std::uint64_t found) {
  static std::atomic<int> told{0};
  if (told.fetch_add(1) >= 20) return;
  std::fprintf(stderr, "[ wrong    ] %s listener, reading from position %llu, frame %llu: expected %llu, found %llu\n",
               kind == ListenerKind::lossless ? "lossless" : "overwritable",
               static_cast<unsigned long long>(read_from.position), static_cast<unsigned long long>(read_from.frame),
               static_cast<unsigned long long>(expected), static_cast<unsigned long long>(found));
}

// One life of a listener. Every frame must be whole and in its place: what was read and what was lost since joining is
// everything that was appended since.
// False: nobody serves any more.
bool live(const std::filesystem::path& socket, std::mt19937& random, const std::atomic<bool>& stop, Seen& seen) {
  const auto kind = random() % 4 == 0 ? ListenerKind::lossless : ListenerKind::overwritable;
  auto attached = Attachment::attach(socket, kind);
  if (!attached) return false;
  MergedReader& reader = attached->reader();
  for (auto turns = random() % 200; turns > 0 && !stop; --turns) {
    const RingPoint from = reader.queue(0).point();
    const auto wrong = [&](std::uint64_t expected, std::uint64_t found) {
      ++seen.wrong;
      tell_wrong(kind, from, expected, found);
    };
    std::uint64_t next = 0;
    bool first = true;
    seen.frames += reader.read(1 + random() % 300, [&](const FrameView& view) {
      std::uint64_t index = 0;
      std::memcpy(&index, view.bytes.data(), sizeof(index));
      if (!is_frame(view, index) || (!first && index != next)) wrong(first ? index : next, index);
      next = index + 1;
      first = false;
    });
    if (!first && next != reader.queue(0).point().frame) wrong(reader.queue(0).point().frame, next);
    if (random() % 20 == 0) std::this_thread::sleep_for(milliseconds(random() % 20));
  }
  seen.lapped += reader.gap().frames;
  if (reader.broken()) ++seen.wrong;
  return true;
}

// Of a child: it ends with its parent, also when that has ended already.
void die_with(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(0);
}

// Listeners that are killed, one after the other; from a process without threads. Returns its number.
pid_t start_mortals(const std::filesystem::path& socket, unsigned seed) {
  const pid_t test = ::getpid(), nursery = ::fork();
  if (nursery != 0) return nursery;
  die_with(test);
  const pid_t self = ::getpid();
  std::mt19937 random(seed);
  for (;;) {
    const pid_t child = ::fork();
    if (child == 0) {
      die_with(self);
      std::mt19937 own(static_cast<unsigned>(random()));
      const std::atomic<bool> never{false};
      Seen seen;
      while (seen.wrong == 0) {
        if (!live(socket, own, never, seen)) ::usleep(1000);  // not yet, or not any more
      }
      ::_exit(1);
    }
    ::usleep(static_cast<useconds_t>(1000 * (20 + random() % 100)));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status)) ::_exit(1);  // it saw something wrong, and ended by itself
  }
}

double soak_seconds() {
  const char* wanted = std::getenv("VIGIA_SOAK_SECONDS");
  return wanted ? std::atof(wanted) : 2;
}

TEST(ListenerSoak, NobodySeesATornRecord) {
  TempDir dir;
  const auto socket = dir / "x.sock";
  std::vector<pid_t> nurseries;
  for (unsigned i = 0; i < kProcesses; ++i) nurseries.push_back(start_mortals(socket, 100 + i));
  RingUnderTest ring;
  auto server = must(ListenerServer::create(socket, {{&ring.memory, &ring.table}}, [] { return std::string("{}"); }));
  std::atomic<bool> stop{false};
  std::uint64_t refused = 0;
  std::thread writer([&] {
    std::mt19937 random(1);
    while (!stop) {
      for (unsigned i = 0; i < 32; ++i) refused += ring.append(60 + random() % 600) ? 0 : 1;
      ring.writer.publish();
      if (random() % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
    }
  });
  std::vector<Seen> seen(kThreads);
  std::vector<std::thread> listeners;
  for (unsigned i = 0; i < kThreads; ++i) {
    listeners.emplace_back([&, i] {
      std::mt19937 random(10 + i);
      while (!stop) (void)live(socket, random, stop, seen[i]);
    });
  }
  const auto end = steady_clock::now() +
                   std::chrono::duration_cast<steady_clock::duration>(std::chrono::duration<double>(soak_seconds()));
  while (steady_clock::now() < end) server.serve(milliseconds(5));
  stop = true;
  std::atomic<bool> left{false};
  std::thread last([&] {
    for (std::thread& listener : listeners) listener.join();
    left = true;
  });
  while (!left) server.serve(milliseconds(5));
  last.join();
  writer.join();
  for (const pid_t nursery : nurseries) {
    int status = 0;
    EXPECT_EQ(::waitpid(nursery, &status, WNOHANG), 0) << "a listener process saw a wrong frame";
    ::kill(nursery, SIGKILL);  // and its child with it
    ::waitpid(nursery, &status, 0);
  }
  Seen all;
  for (const Seen& one : seen) {
    all.frames += one.frames;
    all.lapped += one.lapped;
    all.wrong += one.wrong;
  }
  std::printf(
      "[ soak     ] %.0f s: %llu frames appended, %llu read, %llu lapped, %llu refused for lossless listeners\n",
      soak_seconds(), static_cast<unsigned long long>(ring.next), static_cast<unsigned long long>(all.frames),
      static_cast<unsigned long long>(all.lapped), static_cast<unsigned long long>(refused));
  EXPECT_EQ(all.wrong, 0u);
  EXPECT_GT(all.frames, 1000u);
  EXPECT_GT(all.lapped, 0u) << "nobody was ever too slow: the test did not test that";
}

}  // namespace
}  // namespace vigia::vf
