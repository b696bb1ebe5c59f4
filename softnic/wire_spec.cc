// SPDX-License-Identifier: Apache-2.0
#include "softnic/wire_spec.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <span>
#include <utility>
#include <vector>

#include "softnic/pacer.h"

namespace vigia::softnic {
namespace {

constexpr std::string_view kForms =
    "pcap:FILE[,rate=RATE][,loop=N|,count=N], "
    "gen:[size=BYTES|imix][,flows=N][,count=N][,rate=RATE][,train=N][,dst=MAC][,src=MAC][,vlan=VID], "
    "tap:NAME[,netns=NS] or null";
constexpr std::string_view kRateForms = "max, <n>x, <n>pps, <n>kpps, <n>mpps, <n>bps, <n>kbps, <n>mbps or <n>gbps";

struct RateUnit {
  std::string_view suffix;
  Rate::Kind kind;
  double factor;
};
// Longer suffixes first: "pps" ends "kpps" too. In to_text the first of a kind that leaves a value >= 1 is taken.
constexpr std::array kUnits{
    RateUnit{"mpps", Rate::Kind::packets, 1e6}, RateUnit{"kpps", Rate::Kind::packets, 1e3},
    RateUnit{"pps", Rate::Kind::packets, 1},    RateUnit{"gbps", Rate::Kind::bits, 1e9},
    RateUnit{"mbps", Rate::Kind::bits, 1e6},    RateUnit{"kbps", Rate::Kind::bits, 1e3},
    RateUnit{"bps", Rate::Kind::bits, 1},       RateUnit{"x", Rate::Kind::original, 1},
};
// Anything outside is a slip of the keyboard: once a second per thousand seconds, or a terabit.
constexpr double kSlowest = 1e-3, kFastest = 1e12;

using KeyValue = std::pair<std::string_view, std::string_view>;

Error refuse(std::string_view key, std::string_view value, std::string_view expected) {
  return input_error(fmt::format("{}={}: expected {}", key, value, expected));
}

bool key_follows(std::string_view text) {
  const std::size_t end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz");
  return end != text.npos && end > 0 && text[end] == '=';
}

std::string listed(std::span<const std::string_view> words) {
  std::string text;
  for (const std::string_view w : words) text.append(text.empty() ? "" : ", ").append(w);
  return text;
}

// "a=1,b=2" as pairs; each key once and one of allowed.
Result<std::vector<KeyValue>> split(std::string_view text, std::span<const std::string_view> allowed) {
  std::vector<KeyValue> pairs;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    const bool last = item.size() == text.size();
    text.remove_prefix(last ? item.size() : item.size() + 1);
    const std::size_t equals = item.find('=');
    const std::string_view key = item.substr(0, equals);
    bool known = false;
    for (const std::string_view a : allowed) known = known || a == key;
    if (!known || equals == item.npos || (!last && text.empty())) {
      return input_error(fmt::format("\"{}\": expected KEY=VALUE with one of the keys {}", item, listed(allowed)));
    }
    for (const auto& [earlier, value] : pairs) {
      if (earlier == key) return input_error(fmt::format("{} is given twice; expected it once", key));
    }
    pairs.emplace_back(key, item.substr(equals + 1));
  }
  return pairs;
}

template <class T>
Result<Done> number(const KeyValue& kv, std::uint64_t low, std::uint64_t high, T& out) {
  const auto& [key, text] = kv;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high) {
    return refuse(key, text, fmt::format("a whole number from {} to {}", low, high));
  }
  out = static_cast<T>(value);
  return Done{};
}

Result<Done> take_rate(const KeyValue& kv, Rate& out) {
  auto rate = parse_rate(kv.second);
  if (!rate) return rate.error();
  out = *rate;
  return Done{};
}

constexpr std::uint64_t kMostFrames = 1'000'000'000'000'000;  // two years of 10 Gb/s

Result<WireSpec> parse_pcap(std::string_view text) {
  std::size_t comma = text.find(',');
  while (comma != text.npos && !key_follows(text.substr(comma + 1))) comma = text.find(',', comma + 1);
  WireSpec wire;
  wire.kind = WireSpec::Kind::pcap;
  PcapSpec& spec = wire.pcap;
  spec.file = text.substr(0, comma);
  if (spec.file.empty()) return input_error("no file; expected pcap:FILE[,rate=RATE][,loop=N|,count=N]");
  if (spec.file.find('\0') != spec.file.npos) return input_error("the file name holds a zero byte; expected a path");
  static constexpr std::array<std::string_view, 3> kKeys{"rate", "loop", "count"};
  auto pairs = split(comma == text.npos ? std::string_view{} : text.substr(comma + 1), kKeys);
  if (!pairs) return pairs.error();
  for (const KeyValue& kv : *pairs) {
    auto done = kv.first == "rate"   ? take_rate(kv, spec.rate)
                : kv.first == "loop" ? number(kv, 1, 1'000'000'000, spec.loop)
                                     : number(kv, 1, kMostFrames, spec.count);
    if (!done) return done.error();
  }
  if (spec.loop > 1 && spec.count != 0) return input_error("loop and count both say how long; expected one of them");
  return wire;
}

Result<Done> take_mac(const KeyValue& kv, hw::Mac& out) {
  const auto mac = hw::Mac::parse(kv.second);
  if (!mac) return refuse(kv.first, kv.second, "an Ethernet address like 02:00:00:00:00:01");
  if (kv.first == "src" && mac->multicast()) {
    return refuse(kv.first, kv.second, "a unicast address (a group address is never a source)");
  }
  out = *mac;
  return Done{};
}

Result<Done> take_gen_key(const KeyValue& kv, GenSpec& spec) {
  if (kv.first == "size") {
    spec.imix = kv.second == "imix";
    if (spec.imix) return Done{};
    // The upper end lies beyond the 9.5 KB of the 82599, so that oversize frames can be sent at it.
    auto done = number(kv, 64, 16'000, spec.size);
    return done ? std::move(done) : refuse(kv.first, kv.second, "imix or bytes with FCS from 64 to 16000");
  }
  if (kv.first == "flows") return number(kv, 1, 1u << 24, spec.flows);
  if (kv.first == "count") return number(kv, 1, kMostFrames, spec.count);
  if (kv.first == "train") return number(kv, 1, 1'000'000, spec.train);
  if (kv.first == "rate") return take_rate(kv, spec.rate);
  if (kv.first == "vlan") {
    std::uint16_t vid = 0;
    auto done = number(kv, 0, 4094, vid);
    if (done) spec.vlan = vid;
    return done;
  }
  return take_mac(kv, kv.first == "dst" ? spec.destination : spec.source);
}

// Trains go out at line rate, so an average above it cannot be held.
Result<Done> check_train(const GenSpec& spec) {
  if (spec.train == 1) return Done{};
  if (spec.rate.kind == Rate::Kind::maximum) {
    return input_error(
        fmt::format("train={} with rate=max: expected a rate, which says how far trains are apart", spec.train));
  }
  const double mean = spec.imix ? (7 * 64 + 4 * 594 + 1518) / 12.0 : spec.size;
  const double bits = (mean + kLayer1Overhead - kFcsBytes) * 8;
  const double most = spec.rate.kind == Rate::Kind::bits ? kLineRateBits : kLineRateBits / bits;
  if (spec.rate.value <= most) return Done{};
  return input_error(fmt::format("train={} with rate={}: trains leave at 10gbps; expected a rate of at most {}",
                                 spec.train, to_text(spec.rate), to_text(Rate{spec.rate.kind, most})));
}

Result<WireSpec> parse_gen(std::string_view text) {
  static constexpr std::array<std::string_view, 8> kKeys{"size",  "flows", "count", "rate",
                                                         "train", "dst",   "src",   "vlan"};
  auto pairs = split(text, kKeys);
  if (!pairs) return pairs.error();
  WireSpec wire;
  wire.kind = WireSpec::Kind::gen;
  GenSpec& spec = wire.gen;
  for (const KeyValue& kv : *pairs) {
    if (auto done = take_gen_key(kv, spec); !done) return done.error();
  }
  if (spec.rate.kind == Rate::Kind::original) {
    return input_error(fmt::format("rate={} replays the times of a capture, and gen has none; expected max, pps or bps",
                                   to_text(spec.rate)));
  }
  if (auto done = check_train(spec); !done) return done.error();
  return wire;
}

// As the kernel judges names of interfaces.
bool interface_name(std::string_view name) {
  constexpr std::size_t kLongest = 15;
  return !name.empty() && name.size() <= kLongest && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/:% \t\n\v\f\r\0", 10)) == name.npos;
}

Result<WireSpec> parse_tap(std::string_view text) {
  WireSpec wire;
  wire.kind = WireSpec::Kind::tap;
  TapSpec& spec = wire.tap;
  const std::size_t comma = text.find(',');
  spec.name = text.substr(0, comma);
  if (!interface_name(spec.name)) {
    return input_error(
        fmt::format("\"{}\": expected the name of a network interface, 1 to 15 bytes without / : % or "
                    "blanks, in tap:NAME[,netns=NS]",
                    spec.name));
  }
  static constexpr std::array<std::string_view, 1> kKeys{"netns"};
  auto pairs = split(comma == text.npos ? std::string_view{} : text.substr(comma + 1), kKeys);
  if (!pairs) return pairs.error();
  for (const KeyValue& kv : *pairs) {
    if (kv.second.empty() || kv.second.find('\0') != kv.second.npos) {
      return refuse(kv.first, kv.second, "a name as in \"ip netns\", or the path of a namespace file");
    }
    spec.netns = kv.second;
  }
  return wire;
}

Result<WireSpec> parse_kind(std::string_view spec) {
  if (spec == "null") return WireSpec{};
  if (spec == "gen") return parse_gen({});
  if (spec.starts_with("pcap:")) return parse_pcap(spec.substr(5));
  if (spec.starts_with("gen:")) return parse_gen(spec.substr(4));
  if (spec.starts_with("tap:")) return parse_tap(spec.substr(4));
  return input_error(fmt::format("unknown kind of wire; expected {}", kForms));
}

}  // namespace

Result<Rate> parse_rate(std::string_view text) {
  const Error expected = refuse("rate", text, kRateForms);
  if (text == "max") return Rate{};
  for (const RateUnit& unit : kUnits) {
    if (!text.ends_with(unit.suffix)) continue;
    const std::string_view digits = text.substr(0, text.size() - unit.suffix.size());
    double value = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, std::chars_format::fixed);
    // The first character rules out "-1", "inf" and "nan".
    if (error != std::errc{} || end != digits.data() + digits.size() || digits[0] < '0' || digits[0] > '9')
      return expected;
    value *= unit.factor;
    if (value < kSlowest || value > kFastest) {
      return refuse("rate", text, fmt::format("a value from {} to {} x, pps or bps", kSlowest, kFastest));
    }
    return Rate{unit.kind, value};
  }
  return expected;
}

std::string to_text(const Rate& rate) {
  for (const RateUnit& unit : kUnits) {
    if (unit.kind == rate.kind && (rate.value >= unit.factor || unit.factor <= 1)) {
      return fmt::format("{:.6g}{}", rate.value / unit.factor, unit.suffix);
    }
  }
  return "max";
}

Result<WireSpec> parse_wire_spec(std::string_view spec) {
  auto parsed = parse_kind(spec);
  if (parsed) return parsed;
  return Error{parsed.error().code, fmt::format("wire \"{}\": {}", spec, parsed.error().text)};
}

}  // namespace vigia::softnic
