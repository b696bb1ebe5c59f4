// SPDX-License-Identifier: Apache-2.0
// The frames of a time window of a running capture, each once and in order: from the RAW files of the store as far as
// they are on disk, from the ring what is not there yet. Frames have numbers, so the seam is exact, and what is in
// neither is counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "hw/result.h"
#include "vfdriver/record.h"
#include "vfdriver/ring_history.h"
#include "vfdriver/stored_frames.h"

namespace vigia::vf {

// Frames stamped in [from_ns, to_ns), of those that the capture had published when the replay began.
struct ReplayWindow {
  std::uint64_t from_ns = 0, to_ns = ~std::uint64_t{0};
  bool follow = false;    // and those that it publishes later, until the take() or the capture ends
  bool from_now = false;  // nothing of the past: from_ns is not looked at
};

struct ReplayReport {
  // Frames of the running capture, published in or near the window, that are neither in the ring nor on disk.
  std::uint64_t gap_frames = 0;
  // The window begins before what is still there (or ever was): what is given begins here.
  std::optional<std::uint64_t> history_from_ns;
  std::uint64_t frames_before = 0;  // captured before that and gone; 0: the capture began then
  std::string why;                  // in words; empty: nothing is missing before the window's first frame
  std::uint64_t ring_frames = 0, disk_frames = 0;  // looked at in the window
};

// A single thread uses it; it is no listener and costs the capture nothing but memory bandwidth.
class Replay {
 public:
  // False: enough.
  using Take = std::function<bool(const FrameView&)>;

  // ring may be null (nothing was captured yet); it outlives the replay. stored: empty when there is no store.
  Replay(const RingMemory* ring, std::optional<StoredFrames> stored, ReplayWindow window);

  // Until the window is done, take() has enough, or cancel. idle() is called while a followed capture has nothing new.
  void run(const Take& take, const std::function<void()>& idle, const std::atomic<bool>& cancel);
  const ReplayReport& report() const noexcept { return report_; }

 private:
  void find_start();
  void tell_missing(std::optional<std::uint64_t> oldest_ns, bool in_ring);
  void read_earlier();
  void read_current(const std::function<void()>& idle);
  void read_ring();
  void read_disk();
  std::uint64_t read_place(const StoredPlace& place);
  void jump(std::uint64_t end);
  bool give(const FrameView& frame, std::uint64_t& count);
  bool over() const { return done_ || cancel_->load(std::memory_order_relaxed); }  // a flag, orders nothing

  const RingMemory* ring_;
  std::optional<RingHistory> history_;
  std::optional<StoredFrames> stored_;
  const ReplayWindow window_;
  ReplayReport report_;
  const Take* take_ = nullptr;
  const std::atomic<bool>* cancel_ = nullptr;
  std::uint64_t next_ = 0;  // number of the frame that is wanted next
  std::uint64_t end_ = 0;   // and of the first one that is not
  bool done_ = false;
};

}  // namespace vigia::vf
