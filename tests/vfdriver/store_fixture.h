// SPDX-License-Identifier: Apache-2.0
// A store on a small ring, and what it left on disk.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "hw/accounts.h"
#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/reader.h"
#include "vfdriver/store.h"

namespace vigia::vf {

// Landmarks as the RAW store wants them; the smallest ring, files of 3 MiB.
inline constexpr RingGeometry kRaw{
    .data_bytes = 4 << 20, .segment_bytes = 3 << 20, .mark_bytes = kBlockBytes, .max_captured = 1514};

struct StoreUnderTest {
  explicit StoreUnderTest(const RingGeometry& geometry = kRaw, const std::filesystem::path& counter_file = {})
      : ring(geometry), counters(must(hw::CounterFile::create(counter_file, hw::accounts::capture_names()))) {}

  void raw(const std::filesystem::path& dir, ListenerKind kind = ListenerKind::lossless, std::uint64_t quota = 0) {
    store = must(create_raw_store(ring.join(kind), {dir, "x", quota}, counters));
  }
  void raw_with(const RawStoreOptions& options, ListenerKind kind = ListenerKind::lossless) {
    store = must(create_raw_store(ring.join(kind), options, counters));
  }
  void file(const std::filesystem::path& path, ListenerKind kind = ListenerKind::lossless) {
    store = must(create_file_store(readers(kind), path, *format_of(path),
                                   {"hardware", "agent", "rx of web", "clock: test", 65535}, counters));
  }
  std::vector<RingReader> readers(ListenerKind kind) {
    std::vector<RingReader> all;
    all.push_back(ring.join(kind));
    return all;
  }
  void start() {
    thread = std::thread([this] { store->run(); });
  }
  // Appends frames of changing size; waits for room as a slow wire would.
  void feed(std::uint64_t frames, bool wait = true) {
    for (std::uint64_t i = 0; i < frames; ++i) {
      while (!ring.append(60 + ring.next * 37 % 1400) && wait) {
        ring.writer.publish();
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
      if (i % 32 == 31) ring.writer.publish();
    }
    ring.writer.publish();
  }
  StoreTotals end() {
    ring.writer.close();
    thread.join();
    finished = store->finish({ring.next, 0, "the accounts"});
    const StoreTotals t = store->totals();
    EXPECT_EQ(t.read, t.stored + t.disk_dropped) << "ledger line 7";
    EXPECT_EQ(ring.next, t.read + t.lapped + t.unread) << "ledger line 6";
    return t;
  }

  RingUnderTest ring;
  hw::CounterFile counters;
  std::unique_ptr<Store> store;
  std::thread thread;
  Result<Done> finished = Done{};
};

struct Read {
  std::vector<std::uint64_t> indices;
  ReadReport report;
};
// Every frame must be whole; says which ones there are.
inline Read read_back(const std::filesystem::path& path) {
  Read read;
  auto reader = must(open_capture(path));
  FrameView view;
  while (must(reader->next(view))) {
    std::uint64_t index = 0;
    std::memcpy(&index, view.bytes.data(), sizeof(index));
    EXPECT_TRUE(is_frame(view, index));
    EXPECT_EQ(view.bytes.size(), 60 + index * 37 % 1400);
    EXPECT_EQ(view.wire, view.bytes.size());
    EXPECT_EQ(view.stamp, Stamp::of_ns(1'000'000'000 + index));
    read.indices.push_back(index);
  }
  read.report = reader->report();
  return read;
}
inline void expect_first(const Read& read, std::uint64_t frames) {
  ASSERT_EQ(read.indices.size(), frames);
  for (std::uint64_t i = 0; i < frames; ++i) ASSERT_EQ(read.indices[i], i);
}

// Runs body in a child process and returns its status; the child must not return into gtest.
template <class Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    body();
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

}  // namespace vigia::vf
