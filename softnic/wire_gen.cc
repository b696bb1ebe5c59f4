// SPDX-License-Identifier: Apache-2.0
#include "softnic/wire_gen.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "softnic/pacer.h"

namespace vigia::softnic {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::size_t kEthernetBytes = 14, kTagBytes = 4, kIpBytes = 20, kUdpBytes = 8;
constexpr std::size_t kIpChecksumAt = 10, kIpSourceAt = 12, kUdpChecksumAt = 6;  // within their headers
constexpr std::uint32_t kFirstSource = 0x0a000000, kDestination = 0xc6120001;
constexpr std::uint16_t kFirstPort = 49152, kPortMask = 16383, kDiscard = 9;
constexpr std::uint32_t kImixLarge = 1518, kImixMiddle = 594, kImixSmall = 64;

// Half as fast as the address: were both to count together, a symmetric RSS key, which adds address and port up without
// carry, would hash every flow alike. f ^ f / 2 is the Gray code: it takes every value once.
constexpr std::uint16_t port_of(std::uint32_t flow) {
  return static_cast<std::uint16_t>(kFirstPort + ((flow >> 1) & kPortMask));
}

constexpr std::uint16_t swap(std::uint16_t v) { return __builtin_bswap16(v); }
constexpr std::uint32_t swap(std::uint32_t v) { return __builtin_bswap32(v); }
constexpr std::uint64_t swap(std::uint64_t v) { return __builtin_bswap64(v); }

template <class T>
void put(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}
template <class T>
T get(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Internet checksums are sums of 16-bit words modulo 65535: words may be added as 32-bit halves of wider ones and in
// host order, if the result is stored in host order (RFC 1071).
constexpr std::uint64_t halves(std::uint64_t v) { return (v & 0xffff'ffff) + (v >> 32); }
constexpr std::uint16_t finish(std::uint64_t sum) {
  for (int i = 0; i < 3; ++i) sum = (sum & 0xffff) + (sum >> 16);  // enough for sums below 2^47
  return static_cast<std::uint16_t>(~sum);
}
std::uint64_t sum_words(const std::byte* at, std::size_t bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes; i += 2) sum += get<std::uint16_t>(at + i);
  return sum;
}

// Frames are made this many ahead of their use. A frame that is read right after its fields were written waits until
// the processor has stored them, and those stores wait behind the ones into receivers' memory, which another core
// holds: a third of the time of a frame (benchmarks rx_softnic).
constexpr std::size_t kAhead = 8;

// A frame of one size. What differs between frames of the wire is overwritten in place.
struct Template {
  std::vector<std::byte> bytes;
  std::uint32_t size = 0;
  std::size_t ip_at = 0, udp_at = 0, payload_at = 0;
  bool timed = false;                     // room for the departure time
  std::uint64_t ip_sum = 0, udp_sum = 0;  // checksums' constant part
};

Template make_template(const GenSpec& spec, std::uint32_t wire_size) {
  Template t;
  t.size = wire_size - kFcsBytes;
  t.bytes.resize(t.size);
  std::byte* const p = t.bytes.data();
  std::memcpy(p, spec.destination.bytes.data(), 6);
  std::memcpy(p + 6, spec.source.bytes.data(), 6);
  t.ip_at = kEthernetBytes;
  if (spec.vlan) {
    put(p + 12, swap(std::uint16_t{0x8100}));
    put(p + 14, swap(*spec.vlan));
    t.ip_at += kTagBytes;
  }
  put(p + t.ip_at - 2, swap(std::uint16_t{0x0800}));
  t.udp_at = t.ip_at + kIpBytes;
  t.payload_at = t.udp_at + kUdpBytes;
  t.timed = t.size >= t.payload_at + 16;

  const auto ip_length = static_cast<std::uint16_t>(t.size - t.ip_at);
  const auto udp_length = static_cast<std::uint16_t>(t.size - t.udp_at);
  std::byte* const ip = p + t.ip_at;
  put(ip, std::uint8_t{0x45});
  put(ip + 2, swap(ip_length));
  put(ip + 6, swap(std::uint16_t{0x4000}));  // do not fragment
  put(ip + 8, std::uint8_t{64});             // time to live
  put(ip + 9, std::uint8_t{17});             // UDP
  put(ip + 16, swap(kDestination));
  put(p + t.udp_at + 2, swap(kDiscard));
  put(p + t.udp_at + 4, swap(udp_length));
  t.ip_sum = sum_words(ip, kIpBytes);
  // Pseudo header: addresses, protocol, length; the source comes with each frame.
  t.udp_sum = sum_words(ip + 16, 4) + swap(std::uint16_t{17}) + swap(udp_length) + sum_words(p + t.udp_at, kUdpBytes);
  return t;
}

class GenWire final : public Wire {
 public:
  explicit GenWire(const GenSpec& spec) : spec_(spec), pacer_(spec.rate, spec.train) {
    if (spec.imix) {
      for (const std::uint32_t size : {kImixSmall, kImixMiddle, kImixLarge})
        sizes_.push_back(make_template(spec, size));
      // 7:4:1, spread evenly.
      pattern_ = {0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 0, 1};
    } else {
      sizes_.push_back(make_template(spec, spec.size));
      pattern_ = {0};
    }
    slots_.fill({sizes_, {}});
    for (std::size_t i = 0; i < kAhead; ++i) make(slots_[i]);
  }

  const WireFrame* next() noexcept override {
    if (counts_.frames == spec_.count && spec_.count != 0) return nullptr;
    // The slot handed out before is free now.
    if (counts_.frames != 0) make(slots_[(counts_.frames - 1) % kAhead]);
    const WireFrame& frame = slots_[counts_.frames % kAhead].frame;
    ++counts_.frames;
    counts_.bytes += frame.bytes.size();
    return &frame;
  }
  const WireCounts& counts() const noexcept override { return counts_; }
  const Rate& rate() const noexcept override { return spec_.rate; }
  std::uint64_t total_frames() const noexcept override { return spec_.count; }

  std::string describe() const override {
    std::string text =
        fmt::format("gen:size={},flows={}", spec_.imix ? "imix" : std::to_string(spec_.size), spec_.flows);
    if (spec_.vlan) text += fmt::format(",vlan={}", *spec_.vlan);
    text += spec_.count == 0 ? std::string(", endless, ") : fmt::format(", {} frames, ", spec_.count);
    text += to_text(spec_.rate);
    if (spec_.train > 1) text += fmt::format(" in trains of {}", spec_.train);
    return text;
  }

 private:
  struct Slot {
    std::vector<Template> sizes;
    WireFrame frame;
  };

  // The wire's next frame.
  void make(Slot& slot) noexcept {
    Template& t = slot.sizes[pattern_[step_]];
    if (++step_ == pattern_.size()) step_ = 0;
    slot.frame = {FrameBytes(t.bytes.data(), t.size), pacer_.depart(t.size)};
    stamp(t, slot.frame.departure_ns);
    ++sequence_;
    if (++flow_ == spec_.flows) flow_ = 0;
  }

  void stamp(Template& t, std::uint64_t departure_ns) const noexcept {
    std::byte* const p = t.bytes.data();
    const std::uint32_t address = swap(kFirstSource | flow_);
    const std::uint16_t port = swap(port_of(flow_));
    const std::uint64_t number = swap(sequence_);
    std::uint64_t udp_sum = t.udp_sum + address + port + halves(number);
    put(p + t.payload_at, number);
    if (t.timed) {
      const std::uint64_t time = swap(departure_ns);
      put(p + t.payload_at + 8, time);
      udp_sum += halves(time);
    }
    put(p + t.ip_at + kIpSourceAt, address);
    put(p + t.ip_at + kIpChecksumAt, finish(t.ip_sum + address));
    put(p + t.udp_at, port);
    const std::uint16_t checksum = finish(udp_sum);
    // 0 would say "no checksum"; its other representation says the same sum (RFC 768).
    put(p + t.udp_at + kUdpChecksumAt, checksum == 0 ? std::uint16_t{0xffff} : checksum);
  }

  GenSpec spec_;
  Pacer pacer_;
  std::vector<Template> sizes_;
  std::vector<std::uint8_t> pattern_;  // indexes of sizes_, repeated for ever
  std::array<Slot, kAhead> slots_;     // frame n is in slot n modulo kAhead
  // Of the frame that is made next.
  std::size_t step_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint32_t flow_ = 0;
  WireCounts counts_;
};

}  // namespace

std::optional<GenStamp> read_gen_stamp(FrameBytes frame) {
  const L2Key l2 = parse_l2(frame);
  const L3Key l3 = parse_l3(frame, l2);
  const std::size_t payload_at = kEthernetBytes + (l2.tagged ? kTagBytes : 0) + kIpBytes + kUdpBytes;
  if (l3.address_bytes != 4 || !l3.has_ports || !l3.udp || frame.size() < payload_at + 8) return std::nullopt;
  if (get<std::uint16_t>(l3.hash_input + 10) != swap(kDiscard)) return std::nullopt;
  GenStamp stamp{swap(get<std::uint64_t>(frame.data() + payload_at)), std::nullopt};
  if (frame.size() >= payload_at + 16) stamp.departure_ns = swap(get<std::uint64_t>(frame.data() + payload_at + 8));
  return stamp;
}

std::unique_ptr<Wire> make_gen_wire(const GenSpec& spec) { return std::make_unique<GenWire>(spec); }

}  // namespace vigia::softnic
