// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/pcapng_writer.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

namespace vigia::vf {
namespace {

// Numbers of draft-ietf-opsawg-pcapng, sections 3.5 and 4.
enum Block : std::uint32_t { section = 0x0a0d0d0a, interface = 1, statistics = 5, packet = 6 };
enum Option : std::uint16_t {
  end_of_options = 0,
  comment = 1,
  shb_hardware = 2,
  shb_os = 3,
  shb_userappl = 4,
  if_name = 2,
  if_description = 3,
  if_tsresol = 9,
  if_filter = 11,
  isb_starttime = 2,
  isb_endtime = 3,
  isb_ifrecv = 4,
  isb_ifdrop = 5,
  isb_usrdeliv = 8
};
constexpr std::uint32_t kByteOrder = 0x1a2b3c4d;
constexpr std::size_t kMaxOption = 65535;

constexpr std::size_t padded(std::size_t n) { return (n + 3) & ~std::size_t{3}; }

// Builds one block; lengths are filled in by done().
class BlockBuilder {
 public:
  explicit BlockBuilder(Block type) {
    number(static_cast<std::uint32_t>(type));
    number(std::uint32_t{0});
  }
  template <class Integer>
  BlockBuilder& number(Integer value) {
    return bytes({reinterpret_cast<const char*>(&value), sizeof(value)});  // SAFETY: an integer's own bytes
  }
  BlockBuilder& option(Option code, std::string_view value) {
    value = value.substr(0, kMaxOption);
    number(static_cast<std::uint16_t>(code));
    number(static_cast<std::uint16_t>(value.size()));
    bytes(value);
    block_.resize(padded(block_.size()));
    return *this;
  }
  // Nothing for an empty text: an option that says nothing is noise.
  BlockBuilder& text(Option code, std::string_view value) { return value.empty() ? *this : option(code, value); }
  BlockBuilder& count(Option code, std::uint64_t value) {
    return option(code, {reinterpret_cast<const char*>(&value), sizeof(value)});  // SAFETY: as above
  }
  // Times are split into two words, the high one first.
  BlockBuilder& time(Option code, std::uint64_t ns) { return count(code, ns >> 32 | ns << 32); }
  std::vector<std::byte> done() {
    number(static_cast<std::uint16_t>(end_of_options)).number(std::uint16_t{0});
    const auto length = static_cast<std::uint32_t>(block_.size() + sizeof(std::uint32_t));
    number(length);
    std::memcpy(block_.data() + 4, &length, sizeof(length));
    return std::move(block_);
  }

 private:
  BlockBuilder& bytes(std::string_view value) {
    const auto* from = reinterpret_cast<const std::byte*>(value.data());  // SAFETY: bytes of the caller's view
    block_.insert(block_.end(), from, from + value.size());
    return *this;
  }
  std::vector<std::byte> block_;
};

struct PacketHead {
  std::uint32_t type, total, interface, time_high, time_low, captured, wire;
};
static_assert(sizeof(PacketHead) == 28);

// The options of a frame that is marked as a duplicate: a comment, as analysers show it.
constexpr char kRepeatText[] = "duplicate of an earlier frame";
struct RepeatNote {
  std::uint16_t code = comment, length = sizeof(kRepeatText) - 1;
  std::array<char, 32> text{};  // padded with zeros
  std::uint16_t end = end_of_options, nothing = 0;
};
static_assert(sizeof(RepeatNote) == 40 && padded(sizeof(kRepeatText) - 1) == 32);
constexpr RepeatNote kRepeatNote = [] {
  RepeatNote note;
  std::copy_n(kRepeatText, sizeof(kRepeatText) - 1, note.text.begin());
  return note;
}();

std::string system_name() {
  utsname name{};
  if (::uname(&name) != 0) return {};
  return std::string(name.sysname) + " " + name.release;
}

}  // namespace

PcapngWriter::PcapngWriter(OutputFile file, const CaptureDescription& description) : FrameWriterOf(std::move(file)) {
  file_.put(BlockBuilder(section)
                .number(kByteOrder)
                .number(std::uint16_t{1})
                .number(std::uint16_t{0})
                .number(~std::uint64_t{0})  // section length: not known, read to the end
                .text(comment, description.comment)
                .text(shb_hardware, description.hardware)
                .text(shb_os, system_name())
                .text(shb_userappl, "vigia-capture")
                .done());
  BlockBuilder block(interface);
  block
      .number(std::uint16_t{1})  // LINKTYPE_ETHERNET
      .number(std::uint16_t{0})
      .number(description.snaplen)
      .text(if_name, description.interface)
      .text(if_description, description.hardware)
      .option(if_tsresol, "\x09");  // 10^-9 s
  // Kind 0 of if_filter: words, not byte code.
  if (!description.tap.empty()) block.option(if_filter, std::string(1, '\0') + description.tap);
  file_.put(block.text(comment, description.comment).done());
  file_.flush();
}

std::size_t PcapngWriter::encoded_bytes(const FrameView& frame) const noexcept {
  return sizeof(PacketHead) + padded(frame.bytes.size()) + (frame.repeated ? sizeof(kRepeatNote) : 0) +
         sizeof(std::uint32_t);
}

void PcapngWriter::encode(const FrameView& frame, std::byte* at) noexcept {
  const std::uint64_t ns = frame.stamp.total_ns();
  if (first_ns_ == 0) first_ns_ = ns;
  last_ns_ = ns;
  const auto total = static_cast<std::uint32_t>(encoded_bytes(frame));
  const PacketHead head{packet,
                        total,
                        0,
                        static_cast<std::uint32_t>(ns >> 32),
                        static_cast<std::uint32_t>(ns),
                        static_cast<std::uint32_t>(frame.bytes.size()),
                        frame.wire};
  std::memcpy(at, &head, sizeof(head));
  std::byte* const bytes = at + sizeof(head);
  const std::size_t n = frame.bytes.size();
  if (n > 0) std::memcpy(bytes, frame.bytes.data(), n);
  std::memset(bytes + n, 0, padded(n) - n);
  std::byte* tail = bytes + padded(n);
  if (frame.repeated) {
    std::memcpy(tail, &kRepeatNote, sizeof(kRepeatNote));
    tail += sizeof(kRepeatNote);
  }
  std::memcpy(tail, &total, sizeof(total));
}

std::vector<std::byte> PcapngWriter::tail(const CaptureSummary& summary) {
  BlockBuilder block(statistics);
  const std::uint64_t now = last_ns_;
  block.number(std::uint32_t{0})
      .number(static_cast<std::uint32_t>(now >> 32))
      .number(static_cast<std::uint32_t>(now))
      .time(isb_starttime, first_ns_)
      .time(isb_endtime, last_ns_);
  if (summary.received > 0 || summary.lost > 0) {
    block.count(isb_ifrecv, summary.received).count(isb_ifdrop, summary.lost);
  }
  block.count(isb_usrdeliv, file_.frames_stored() + file_.frames_buffered());
  return block.text(comment, summary.comment).done();
}

}  // namespace vigia::vf
