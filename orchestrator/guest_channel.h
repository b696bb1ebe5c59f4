// SPDX-License-Identifier: Apache-2.0
// The host's end of a probe's channel (hw/channel_frame.h): a unix socket that QEMU, or `vigia-capture serve` itself,
// listens at. What comes through it is foreign.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "hw/channel_frame.h"
#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::orch {

struct PullOptions {
  std::string last, from, to;    // as typed (hw/time_window.h); all empty: everything there is
  std::string filter;            // pcap-filter(7), compiled in the guest
  std::uint64_t max_bytes = 0;   // 0: no limit
  std::uint32_t snaplen = 0;     // 0: as captured
  bool follow = false;           // goes on until stop
  std::filesystem::path output;  // "-": standard output; a file appears when it is whole
  // Called with the bytes so far, at most a few times a second. May be empty.
  std::function<void(std::uint64_t bytes)> progress;
};

// A single thread uses it. Every wait has a deadline and a sentence.
class GuestChannel {
 public:
  // Connects and greets: repeated until the guest answers or the time is over.
  static Result<GuestChannel> connect(const std::filesystem::path& socket,
                                      std::chrono::milliseconds limit = std::chrono::seconds(5));

  const std::string& greeting() const noexcept { return greeting_; }  // the answer to hello, JSON
  // What the guest says of itself, JSON.
  Result<std::string> status(std::chrono::milliseconds limit = std::chrono::seconds(10));
  // With what the probe compares repetitions from now on: mirrors_to() of its VF.
  Result<Done> tell_mirrors(std::string_view port);
  // Ends the capture with everything written; the final statistics, JSON.
  Result<std::string> stop_capture(std::chrono::milliseconds limit);

  struct Offset {
    std::int64_t guest_minus_host_ns = 0;
    std::uint64_t error_ns = 0;  // half of the shortest round trip
  };
  Result<Offset> clock_offset();

  // Writes the packets of the window; the end record, JSON. stop set: ends a pull early, its file is whole.
  Result<std::string> pull(const PullOptions& options, const std::atomic<bool>& stop);

 private:
  GuestChannel(Fd fd, std::filesystem::path socket);
  struct Answer;
  Result<Done> send(std::uint32_t id, std::string_view json);
  // The next frame of that id; nothing for the caller's turn when none came within the time.
  Result<Done> next(std::uint32_t id, std::chrono::milliseconds time, Answer& out);
  Result<std::string> ask(std::string_view json, std::chrono::milliseconds limit, std::string_view what);
  Result<std::string> receive_pull(std::uint32_t id, int out, const PullOptions& options,
                                   const std::atomic<bool>& stop);

  Fd fd_;
  std::filesystem::path socket_;
  hw::channel::FrameParser parser_{hw::channel::kMaxPayload};
  std::chrono::steady_clock::time_point heard_{};
  std::uint32_t next_id_;
  std::string greeting_;
};

// connect() and pull(): what `vigia pull` does once it knows the socket.
Result<std::string> pull(const std::filesystem::path& socket, const PullOptions& options,
                         const std::atomic<bool>& stop);

}  // namespace vigia::orch
