// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/traffic.h"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include "orchestrator/capture_input.h"

namespace vigia::orch {
namespace {

constexpr std::size_t kHeader = 14;         // Ethernet: two addresses and the type
constexpr std::size_t kMostBytes = 262144;  // libpcap's limit of a record
constexpr std::uint64_t kAskEvery = 4096;   // frames between two looks at stop()

// The wire's pcap file; removed again unless finished.
class Output {
 public:
  static Result<std::unique_ptr<Output>> create(const std::filesystem::path& file) {
    std::unique_ptr<Output> out(new Output(file));
    out->format_ = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, kMostBytes, PCAP_TSTAMP_PRECISION_NANO);
    out->file_ = pcap_dump_open(out->format_, file.c_str());
    if (!out->file_) return work_error(fmt::format("create {}", pcap_geterr(out->format_)));
    return out;
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() {
    if (file_) {
      pcap_dump_close(file_);
      std::error_code ignored;
      std::filesystem::remove(path_, ignored);
    }
    pcap_close(format_);
  }

  void write(std::span<const std::byte> bytes, std::uint32_t wire_length, std::uint64_t time_ns) {
    pcap_pkthdr header{};
    header.ts.tv_sec = static_cast<time_t>(time_ns / 1'000'000'000u);
    header.ts.tv_usec = static_cast<suseconds_t>(time_ns % 1'000'000'000u);
    header.caplen = static_cast<bpf_u_int32>(bytes.size());
    header.len = wire_length;
    // SAFETY: libpcap's callback signature; it gets the dumper back that it made, and reads caplen bytes.
    pcap_dump(reinterpret_cast<u_char*>(file_), &header, reinterpret_cast<const u_char*>(bytes.data()));
  }
  bool good() const { return std::ferror(pcap_dump_file(file_)) == 0; }

  Result<Done> finish() {
    if (pcap_dump_flush(file_) != 0 || !good()) return os_error("write " + path_.string());
    pcap_dump_close(std::exchange(file_, nullptr));
    return Done{};
  }

 private:
  explicit Output(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
  pcap_t* format_ = nullptr;
  pcap_dumper_t* file_ = nullptr;
};

struct Sorter {
  std::vector<std::optional<Filter>> filters;

  static Result<Sorter> create(const std::vector<Receiver>& receivers) {
    Sorter sorter;
    for (const Receiver& receiver : receivers) {
      auto& slot = sorter.filters.emplace_back();
      if (receiver.match.empty()) continue;
      auto filter = Filter::compile(receiver.match);
      if (!filter) return filter.error();
      slot = std::move(*filter);
    }
    return sorter;
  }
  // The index of the receiver, or the number of receivers for nobody.
  std::size_t receiver_of(const CapturedFrame& frame) const {
    const auto taker =
        std::find_if(filters.begin(), filters.end(), [&](const auto& f) { return f && f->accepts(frame); });
    return static_cast<std::size_t>(taker - filters.begin());
  }
};

void count(Share& share, std::uint32_t bytes) {
  ++share.frames;
  share.bytes += bytes;
}

}  // namespace

Result<PreparedTraffic> prepare_traffic(const std::filesystem::path& from, const std::filesystem::path& to,
                                        const std::vector<Receiver>& receivers, const hw::Mac& nobody,
                                        const std::function<bool()>& stop) {
  auto input = CaptureInput::open(from);
  if (!input) return input.error();
  auto sorter = Sorter::create(receivers);
  if (!sorter) return sorter.error();
  auto output = Output::create(to);
  if (!output) return output.error();

  PreparedTraffic result;
  result.receivers.resize(receivers.size());
  std::vector<std::byte> frame_bytes(kMostBytes);
  std::uint64_t last_ns = 0;
  for (CapturedFrame frame;;) {
    auto more = input->next(frame);
    if (!more) return more.error();
    if (!*more) break;
    const std::size_t who = sorter->receiver_of(frame);
    const std::size_t held = std::max(std::min(frame.bytes.size(), kMostBytes), kHeader);
    std::fill_n(frame_bytes.begin(), kHeader, std::byte{0});
    std::copy_n(frame.bytes.begin(), std::min(frame.bytes.size(), kMostBytes), frame_bytes.begin());
    std::memcpy(frame_bytes.data(), (who < receivers.size() ? receivers[who].mac : nobody).bytes.data(), 6);
    const auto wire_length = std::max(frame.wire_length, static_cast<std::uint32_t>(held));
    (*output)->write({frame_bytes.data(), held}, wire_length, frame.time_ns);

    count(who < receivers.size() ? result.receivers[who] : result.unmatched, wire_length);
    count(result.total, wire_length);
    if (last_ns != 0 && frame.time_ns > last_ns) {
      result.longest_gap_ns = std::max(result.longest_gap_ns, frame.time_ns - last_ns);
    }
    last_ns = frame.time_ns;
    if (result.total.frames % kAskEvery == 0 && stop()) {
      return Error{std::errc::interrupted, "interrupted while preparing the traffic; nothing was started"};
    }
    if (result.total.frames % kAskEvery == 0 && !(*output)->good()) break;  // finish() says why
  }
  if (auto done = (*output)->finish(); !done) return done.error();
  return result;
}

}  // namespace vigia::orch
