// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/file/source.h"

#include <sys/prctl.h>

#include <algorithm>

namespace vigia::vf::file {
namespace {

constexpr std::size_t kChunkBytes = 1 << 20;

}  // namespace

Result<std::unique_ptr<Source>> Source::open(const std::filesystem::path& path, const Rate& rate, std::uint64_t turns) {
  auto reader = open_capture(path);
  if (!reader) return reader.error();
  std::unique_ptr<Source> source(new Source(path, std::move(*reader), rate, turns));  // private constructor
  source->thread_ = std::thread([&s = *source] { s.run(); });
  return source;
}

Source::~Source() {
  stop_.store(true, std::memory_order_relaxed);
  popped_.fetch_add(1, std::memory_order_release);  // wakes the thread, which sees stop_ first
  popped_.notify_one();
  thread_.join();
}

void Source::run() {
  ::prctl(PR_SET_NAME, "file reader");
  for (bool more = true; more;) {
    const int written = written_.load(std::memory_order_relaxed);  // this thread's own
    // Acquire: pairs with pop(); the chunk is not read any more.
    for (int popped = popped_.load(std::memory_order_acquire); written - popped >= kChunks;
         popped = popped_.load(std::memory_order_acquire)) {
      popped_.wait(popped, std::memory_order_acquire);
    }
    if (stop_.load(std::memory_order_relaxed)) break;
    Chunk& chunk = chunks_[static_cast<std::size_t>(written % kChunks)];
    more = fill(chunk);
    // Release: pairs with front(); the chunk is whole.
    if (!chunk.frames.empty()) written_.store(written + 1, std::memory_order_release);
  }
  done_.store(true, std::memory_order_release);  // pairs with ended(); error_ is written
}

// False when nothing follows.
bool Source::fill(Chunk& chunk) {
  chunk.bytes.clear();
  chunk.frames.clear();
  while (chunk.bytes.size() < kChunkBytes && !stop_.load(std::memory_order_relaxed)) {
    FrameView frame;
    const auto more = reader_->next(frame);
    if (!more) {
      error_ = more.error().text;
      return false;
    }
    if (!*more) {
      if (!next_turn()) return false;
      continue;
    }
    ++frames_of_turn_;
    const auto length = std::min(static_cast<std::uint32_t>(frame.bytes.size()), kMaxCaptured);
    const std::uint32_t wire = std::clamp(frame.wire, length, kMaxCaptured);
    chunk.frames.push_back(
        {static_cast<std::uint32_t>(chunk.bytes.size()), length, wire - length, pacing_.due(frame.stamp.total_ns())});
    chunk.bytes.insert(chunk.bytes.end(), frame.bytes.begin(), frame.bytes.begin() + length);
  }
  return true;
}

// Whether the file is to be read once more, and can be. A file without frames never is.
bool Source::next_turn() {
  if (turn_ == turns_ || frames_of_turn_ == 0) return false;
  auto reader = open_capture(path_);
  if (!reader) {
    error_ = reader.error().text;
    return false;
  }
  reader_ = std::move(*reader);
  pacing_.rewind();
  ++turn_;
  frames_of_turn_ = 0;
  return true;
}

const Chunk* Source::front() noexcept {
  const int popped = popped_.load(std::memory_order_relaxed);  // the taker's own
  // Acquire: pairs with the store in run().
  if (written_.load(std::memory_order_acquire) == popped) return nullptr;
  return &chunks_[static_cast<std::size_t>(popped % kChunks)];
}

void Source::pop() noexcept {
  popped_.fetch_add(1, std::memory_order_release);  // pairs with run(); the chunk has been read
  popped_.notify_one();
}

bool Source::ended() const noexcept {
  // done_ first: a chunk written before it is then seen.
  return done_.load(std::memory_order_acquire) &&
         written_.load(std::memory_order_acquire) == popped_.load(std::memory_order_relaxed);
}

}  // namespace vigia::vf::file
