// SPDX-License-Identifier: Apache-2.0
// The port's cable: a source of frames with departure times. A wire behaves like a MAC on the other end: frames under
// 60 bytes are zero-padded, frames that a capture holds only in part are zero-filled to their wire length.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "hw/result.h"
#include "softnic/frame.h"

namespace vigia::softnic {

// How fast a wire offers frames.
struct Rate {
  enum class Kind {
    original,  // departure times of the capture, divided by factor ("1x", "2.5x")
    packets,   // value frames per second ("3mpps")
    bits,      // value bits per second at layer 1: frame + 4 FCS + 20 preamble and gap ("10gbps")
    maximum,   // as fast as receivers take: the wire waits while a target has no descriptor ("max")
  };
  Kind kind = Kind::maximum;
  double value = 1.0;
};

struct WireFrame {
  FrameBytes bytes;            // valid until the next call of next()
  std::uint64_t departure_ns;  // after the wire's start; 0 for Rate::maximum
};

struct WireCounts {
  std::uint64_t frames = 0, bytes = 0;  // handed out; bytes without FCS, after padding
  std::uint64_t padded = 0, zero_filled = 0;
};

class LiveWire;

class Wire {
 public:
  virtual ~Wire() = default;
  // The next frame, or nullptr at the end of the wire (a live wire: nothing now). No allocation; no system call but of
  // a live wire.
  virtual const WireFrame* next() noexcept = 0;
  virtual const WireCounts& counts() const noexcept = 0;
  virtual const Rate& rate() const noexcept = 0;
  virtual std::uint64_t total_frames() const noexcept = 0;  // 0: endless
  virtual std::string describe() const = 0;                 // for the log: "pcap:x.pcap, 4631 frames, max"
  // This wire, when something that listens and answers is at its other end.
  virtual LiveWire* live() noexcept { return nullptr; }
};

// A wire with a peer: it also takes what the port sends, has no end, and wakes the port. It is an open loop: a frame
// that no receiver takes in time is lost, and counted. One thread, the data path's.
class LiveWire : public Wire {
 public:
  LiveWire* live() noexcept final { return this; }
  // Readable when next() may have a frame; the wire owns it.
  virtual int fd() const noexcept = 0;
  // To be called when fd() is readable: next() looks again. False: nothing will ever come again, watch it no more.
  virtual bool readable() noexcept = 0;
  // Whether the peer took the frame; a refusal is the caller's to count.
  virtual bool send(FrameBytes frame) noexcept = 0;
  // Whether the port drives the cable, which the peer sees as its carrier.
  virtual void set_link(bool up) noexcept = 0;
};

// "pcap:FILE[,rate=1x|<n>x|<n>mpps|<n>gbps|max][,loop=N]", "gen:size=64,flows=4096[,count=N][,rate=..][,train=N]",
// "tap:NAME[,netns=NS]", "null". Opens and checks everything (a truncated capture or a link type other than Ethernet is
// an input error here, not in the middle of a run).
Result<std::unique_ptr<Wire>> open_wire(std::string_view spec);

}  // namespace vigia::softnic
