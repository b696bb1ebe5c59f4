// SPDX-License-Identifier: Apache-2.0
// Reads a capture file ahead, in a thread of its own, so that whoever takes the frames never waits for a disk.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "hw/result.h"
#include "vfdriver/file/pacing.h"
#include "vfdriver/reader.h"

namespace vigia::vf::file {

// Frames read ahead.
struct Chunk {
  struct Frame {
    std::uint32_t offset, length, beyond;
    std::uint64_t due_ns;
  };
  std::vector<std::byte> bytes;
  std::vector<Frame> frames;
};

class Source {
 public:
  // Plays the file `turns` times (0: for ever). Starts the thread. A file that is no capture is an input error.
  static Result<std::unique_ptr<Source>> open(const std::filesystem::path& path, const Rate& rate, std::uint64_t turns);
  ~Source();

  // One taker's thread: the oldest chunk, valid until pop(); null: none is ready. Never waits.
  const Chunk* front() noexcept;
  void pop() noexcept;
  // Whether everything was popped and nothing follows: the end, or an error.
  bool ended() const noexcept;
  // After ended(): why, empty at the end of the file.
  const std::string& error() const noexcept { return error_; }

 private:
  static constexpr int kChunks = 4;

  Source(std::filesystem::path path, std::unique_ptr<FrameReader> reader, const Rate& rate, std::uint64_t turns)
      : path_(std::move(path)), reader_(std::move(reader)), pacing_(rate), turns_(turns) {}
  void run();
  bool fill(Chunk& chunk);
  bool next_turn();

  const std::filesystem::path path_;
  std::unique_ptr<FrameReader> reader_;
  Pacing pacing_;
  const std::uint64_t turns_;
  std::uint64_t turn_ = 1, frames_of_turn_ = 0;
  std::string error_;  // written before done_

  std::array<Chunk, kChunks> chunks_;
  std::atomic<int> written_{0}, popped_{0};  // chunks; they wrap together
  std::atomic<bool> done_{false}, stop_{false};
  std::thread thread_;
};

}  // namespace vigia::vf::file
