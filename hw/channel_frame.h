// SPDX-License-Identifier: Apache-2.0
// The frames that the host and a probe exchange through a virtio-serial port (or any other byte stream): requests and
// answers are JSON objects, captured packets are bytes of a pcapng file. Both ends treat the other as hostile.
//
// A frame is a header of 20 bytes, little-endian {u32 magic "VGCH"; u8 version 1; u8 type; u16 zero; u32 id; u32
// length; u32 check}, then length bytes. check is CRC-32C of the header before it and of the payload: a stream may
// begin in the middle of what an earlier client was sent, and captured packets may hold frames of this very protocol.
//
// Requests (type request, id chosen by the host, {"command": ..}) and what answers them, under the same id:
//   hello   {name, role, version of the program, pid, uptime_s, state}; also ends whatever an earlier client had asked
//   for time    {receive_ns, send_ns, ticks}: guest's CLOCK_REALTIME when the request came and when the answer left,
//   and
//           its time stamp counter, for an estimate of the offset as NTP makes it
//   status  what vigia-capture says of itself
//   pull    {last_ns | from_ns, to_ns; filter, max_bytes, snaplen, follow}: data frames, then a reply: the end record
//   cancel  ends the running pull early, its end record still comes
//   mirrors {port}: what the port mirrors to this probe, as `vigia pf show --json` has it; with what repetitions are
//           compared from then on
//   stop    ends the capture with everything written; the final statistics
// An answer of type failure is {status, error}: what a program would exit with, and the sentence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vigia::hw::channel {

enum class FrameType : std::uint8_t { request = 1, reply = 2, failure = 3, data = 4 };

// Bounds on a payload: of a request, and of anything else.
constexpr std::size_t kMaxRequest = 16 * 1024;
constexpr std::size_t kMaxPayload = 64 * 1024;
constexpr std::size_t kFrameHeader = 20;

struct Frame {
  FrameType type = FrameType::request;
  std::uint32_t id = 0;
  std::string_view payload;
};

// Appends the frame; its payload is at most kMaxPayload.
void append_frame(std::string& out, const Frame& frame);

// CRC-32C (Castagnoli, RFC 3720 B.4) of bytes, continued from an earlier result.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t before = 0);

// Takes bytes as they come and finds the frames in them. What is no frame is passed over and counted.
class FrameParser {
 public:
  // Longer payloads are no frames; at most kMaxPayload.
  explicit FrameParser(std::size_t max_payload) : max_payload_(max_payload) {}

  void add(std::string_view bytes);
  // The next whole frame; its payload is valid until the next call of add(), give_up() or reset().
  std::optional<Frame> next();
  // A frame has begun and is not whole.
  bool waiting() const { return at_ < buffer_.size(); }
  // The rest of the frame that has begun will not come: looks for the next one in what is there.
  void give_up();
  void reset();
  std::uint64_t passed_over() const { return passed_over_; }

 private:
  void pass(std::size_t bytes);

  std::size_t max_payload_;
  std::string buffer_;
  std::size_t at_ = 0;  // passed so far
  std::uint64_t passed_over_ = 0;
};

}  // namespace vigia::hw::channel
