// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/traffic.h"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

namespace vigia::vf {
namespace {

constexpr std::string_view kGenPrefix = "gen:";
constexpr std::size_t kHeader = 14;
constexpr std::uint32_t kFcs = 4, kMinFrame = 64;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Gen {
  std::uint64_t count = 0, size = kMinFrame;
  hw::Mac destination;
};

Result<Gen> parse_gen(std::string_view spec, std::uint32_t max_frame) {
  const auto bad = [&](const std::string& why) {
    return input_error(fmt::format("send \"{}\": {}; form: gen:count=N,size=S,dst=MAC", spec, why));
  };
  Gen gen;
  bool has_count = false, has_destination = false;
  for (std::string_view rest = spec.substr(kGenPrefix.size()); !rest.empty();) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const auto equals = item.find('=');
    if (equals == item.npos) return bad(fmt::format("\"{}\" is not KEY=VALUE", item));
    const std::string_view key = item.substr(0, equals), value = item.substr(equals + 1);
    if (key == "dst") {
      const auto mac = hw::Mac::parse(value);
      if (!mac) return bad(fmt::format("dst \"{}\" is not an address", value));
      gen.destination = *mac;
      has_destination = true;
    } else if (key == "count" || key == "size") {
      const auto n = number(value);
      if (!n) return bad(fmt::format("{} \"{}\" is not a number", key, value));
      (key == "count" ? gen.count : gen.size) = *n;
      has_count = has_count || key == "count";
    } else {
      return bad(fmt::format("unknown key \"{}\"", key));
    }
  }
  if (!has_count || !has_destination) return bad("count and dst are needed");
  if (gen.size < kMinFrame || gen.size > max_frame) {
    return bad(fmt::format("size {} is not {} to {} (this port's largest frame, FCS included)", gen.size, kMinFrame,
                           max_frame));
  }
  return gen;
}

Traffic generate(const Gen& gen) {
  constexpr std::array kExperimental{std::byte{0x88}, std::byte{0xb5}};  // EtherType for local experiments, IEEE 802
  std::vector<std::byte> frame(gen.size - kFcs);
  std::memcpy(frame.data(), gen.destination.bytes.data(), gen.destination.bytes.size());
  std::copy(kExperimental.begin(), kExperimental.end(), frame.begin() + kHeader - kExperimental.size());
  Traffic traffic;
  traffic.frames.push_back(std::move(frame));
  traffic.count = gen.count;
  return traffic;
}

Result<Traffic> load_capture(const std::string& path, std::uint32_t max_frame) {
  std::array<char, PCAP_ERRBUF_SIZE> why{};
  const std::unique_ptr<pcap_t, decltype(&pcap_close)> pcap(pcap_open_offline(path.c_str(), why.data()), &pcap_close);
  if (!pcap) return input_error(fmt::format("send {}: {}", path, why.data()));
  if (const int link = pcap_datalink(pcap.get()); link != DLT_EN10MB) {
    const char* name = pcap_datalink_val_to_name(link);
    return input_error(
        fmt::format("send {}: its link type is {}, a port sends Ethernet only", path, name ? name : "unknown"));
  }
  Traffic traffic;
  const std::uint32_t longest = max_frame - kFcs;
  pcap_pkthdr* header = nullptr;
  const unsigned char* data = nullptr;
  int got = 0;
  while ((got = pcap_next_ex(pcap.get(), &header, &data)) == 1) {
    const std::size_t n = traffic.frames.size() + 1;
    if (header->len < kHeader || header->caplen < kHeader || header->caplen > header->len) {
      return input_error(fmt::format("send {}: frame {}: {} of {} bytes, too short for Ethernet", path, n,
                                     header->caplen, header->len));
    }
    if (header->len > longest) {
      return input_error(fmt::format("send {}: frame {}: {} bytes, this port's limit is {}; raise --mtu", path, n,
                                     header->len, longest));
    }
    std::vector<std::byte> frame(header->len);
    std::memcpy(frame.data(), data, header->caplen);
    traffic.zero_filled += header->caplen < header->len ? 1 : 0;
    traffic.frames.push_back(std::move(frame));
  }
  if (got == PCAP_ERROR) {
    return input_error(
        fmt::format("send {}: after frame {}: {}", path, traffic.frames.size(), pcap_geterr(pcap.get())));
  }
  if (traffic.frames.empty()) return input_error(fmt::format("send {}: the file holds no frame", path));
  traffic.count = traffic.frames.size();
  return traffic;
}

}  // namespace

void Traffic::set_source(const hw::Mac& mac) {
  constexpr std::size_t kSourceAt = 6;
  for (auto& frame : frames) std::memcpy(frame.data() + kSourceAt, mac.bytes.data(), mac.bytes.size());
}

Result<Traffic> load_traffic(std::string_view spec, std::uint32_t max_frame) {
  if (!spec.starts_with(kGenPrefix)) return load_capture(std::string(spec), max_frame);
  auto gen = parse_gen(spec, max_frame);
  if (!gen) return gen.error();
  return generate(*gen);
}

}  // namespace vigia::vf
