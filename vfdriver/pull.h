// SPDX-License-Identifier: Apache-2.0
// One pull: the frames of a window, filtered, as pcapng into a pipe. The pipe is the flow control: a slow reader makes
// this thread wait, and nothing else.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "hw/fd.h"
#include "hw/result.h"
#include "vfdriver/replay.h"
#include "vfdriver/ring_memory.h"

namespace vigia::vf {

struct PullRequest {
  std::optional<std::uint64_t> last_ns;         // back from now; or
  std::optional<std::uint64_t> from_ns, to_ns;  // since 1970, guest's clock; to_ns is not in the window
  std::string filter;                           // pcap-filter(7)
  std::uint64_t max_bytes = 0;                  // of pcapng; 0: no limit
  std::uint32_t snaplen = 0;                    // bytes kept of a frame; 0: what the capture kept
  bool follow = false;                          // goes on with what comes, until it is cancelled
};

// Reads the keys of a request object (hw/channel_frame.h). Foreign bytes: an input error lists every fault.
Result<PullRequest> parse_pull(std::string_view json);

// Where a pull reads. Shared with whoever runs the capture; either may go first.
struct PullSource {
  std::shared_ptr<const RingMemory> ring;  // null: nothing was captured yet
  std::optional<StoredFrames> stored;
  std::string name, hardware, clock;  // for the file's head
  std::uint32_t snaplen = kMaxCaptured;
};

struct PullEnd {
  std::uint64_t frames = 0, bytes = 0;  // in the file: frames, captured bytes
  std::uint64_t file_bytes = 0;         // of pcapng
  std::uint64_t first_ns = 0, last_ns = 0;
  std::uint64_t filtered = 0;               // in the window, not wanted by the filter
  std::uint64_t from_ns = 0, to_ns = 0;     // the window as it was understood
  bool limited = false, cancelled = false;  // max_bytes, or somebody, ended it early
  ReplayReport replay;
};
// One object; keys are stable.
std::string to_json(const PullEnd& end);

// Runs in a thread of its own.
class PullJob {
 public:
  // Errors of the filter and of the system, before anything runs.
  static Result<std::unique_ptr<PullJob>> start(PullSource source, const PullRequest& request);
  ~PullJob();  // ends it, whatever is unread

  // Where the bytes come from; non-blocking. At its end result() is there.
  int output() const noexcept { return output_.get(); }
  // Ends early, with a whole file.
  void cancel() noexcept { cancel_.store(true, std::memory_order_relaxed); }  // a flag, orders nothing
  // After output() has ended.
  PullEnd result();

 private:
  PullJob(PullSource source, const PullRequest& request, Fd output)
      : source_(std::move(source)), request_(request), output_(std::move(output)) {}
  void run(Fd pipe, class FrameFilter filter);

  PullSource source_;
  PullRequest request_;
  Fd output_;
  std::atomic<bool> cancel_{false};
  PullEnd end_;  // of the thread, until it is joined
  std::thread thread_;
};

}  // namespace vigia::vf
