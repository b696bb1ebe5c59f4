// SPDX-License-Identifier: Apache-2.0
// A source of received frames for the engine: a queue of a virtual function, of a kernel interface, or a file.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "hw/result.h"

namespace vigia::vf {

// Why a frame is marked bad. Bits of RxSegment::error on the frame's last segment; zero is a good frame.
namespace RxError {
constexpr std::uint8_t mac = 1;     // the device saw a MAC error (CRC, symbol, length)
constexpr std::uint8_t cut = 2;     // more segments than a burst holds: only the first ones were handed out
constexpr std::uint8_t length = 4;  // the device claims more bytes than the buffer has; the length was corrected
}  // namespace RxError

// A piece of a received frame: a whole frame, or one buffer of a long one. Sixteen bytes, because each frame's is
// stored and read again, and stores are what the engine has fewest to spare of.
struct RxSegment {
  const std::byte* data;
  std::uint32_t length;
  bool end_of_frame;
  std::uint8_t error = 0;  // RxError bits
  // On the last segment: bytes of the frame on the wire that the port does not hold (the kernel cut them off, the file
  // had no more). The frame's length is that of its segments and this, at most 65535.
  std::uint16_t beyond = 0;
};
static_assert(sizeof(RxSegment) == 16);

// One RX queue. A single thread uses it.
class RxPort {
 public:
  virtual ~RxPort() = default;

  // Takes up to out.size() segments (1 or more); a burst never ends inside a frame. A frame of more segments than out
  // holds is handed out once, cut. The data stay valid until release(). Never blocks, allocates, logs or locks.
  virtual std::size_t receive(std::span<RxSegment> out) noexcept = 0;
  // When each frame of the last receive() arrived, in their order, nanoseconds since 1970: of a port that knows better
  // than who looks at it. They may run backwards a little. Null, always: it does not know. Of devices with
  // one queue only: rings of several are merged by what engines promise of their own clocks.
  virtual const std::uint64_t* stamps() const noexcept { return nullptr; }
  // Gives every buffer of the last receive() back to the device: one doorbell.
  virtual void release() noexcept = 0;

  // Sleeps until the device signals frames or the time is over; may return early. For idle engines.
  virtual void wait(std::chrono::microseconds at_most) noexcept = 0;
  // Whether an engine that found nothing should look again before it waits. False where the kernel hands frames over:
  // there a look that comes too early finds nothing, and the kernel may want that CPU.
  virtual bool worth_spinning() const noexcept { return true; }
  // False once the device or the link to it is gone for good.
  virtual bool alive() const noexcept = 0;
  // Frames the device has finished and nobody has taken (looks at descriptors; for the ledger at stop).
  virtual std::uint64_t pending_frames() const noexcept = 0;
};

}  // namespace vigia::vf
