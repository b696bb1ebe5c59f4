// SPDX-License-Identifier: Apache-2.0
#include "softnic/wire_pcap.h"

#include <fmt/format.h>
#include <pcap/pcap.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <new>
#include <vector>

#include "softnic/pacer.h"

namespace vigia::softnic {
namespace {

constexpr std::uint32_t kMinFrameBytes = 60;
// Longer than any frame that segmentation offload shows a capture (BIG TCP: 512 KiB). More is a damaged length field;
// no port takes the frame, but what follows it in the file is worth replaying.
constexpr std::uint32_t kMaxFrameBytes = 1u << 20;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000, kSeamNs = 3600 * kNsPerSecond;

struct PcapClose {
  void operator()(pcap_t* p) const { pcap_close(p); }
};
using Capture = std::unique_ptr<pcap_t, PcapClose>;

Error bad_capture(const std::string& file, std::string_view what) {
  return input_error(fmt::format("capture {}: {}", file, what));
}

// fopen here and not in libpcap, for which "-" is the standard input, which cannot be read twice.
Result<Capture> open_capture(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return bad_capture(file, std::strerror(errno));
  if (!S_ISREG(info.st_mode))
    return bad_capture(file, "not a regular file; the wire reads it twice, so store it first");
  std::FILE* stream = std::fopen(file.c_str(), "rbe");
  if (stream == nullptr) return bad_capture(file, std::strerror(errno));
  char text[PCAP_ERRBUF_SIZE] = "";
  Capture capture(pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, text));
  if (!capture) {
    std::fclose(stream);
    return bad_capture(file, fmt::format("{}; expected a pcap or pcapng file", text));
  }
  if (const int link = pcap_datalink(capture.get()); link != DLT_EN10MB) {
    const char* name = pcap_datalink_val_to_name(link);
    const char* words = pcap_datalink_val_to_description(link);
    return bad_capture(file,
                       fmt::format("link type {} ({}) cannot go over an Ethernet wire; accepted: EN10MB (Ethernet). "
                                   "Capture on one Ethernet interface, not on \"any\" or a tunnel",
                                   name != nullptr ? name : std::to_string(link).c_str(),
                                   words != nullptr ? words : "unknown to libpcap"));
  }
  return capture;
}

struct CapturedFrame {
  const std::byte* data;
  std::uint32_t captured, wire;  // bytes; wire as the file says, never less than captured
  std::uint64_t stamp_ns;        // since the epoch
  std::uint32_t sent() const { return std::clamp(wire, kMinFrameBytes, kMaxFrameBytes); }
};

std::uint64_t stamp_of(const pcap_pkthdr& header) {
  // Nanoseconds overflow 64 bits in the year 2554; damaged files claim later ones.
  const auto seconds = std::clamp<std::int64_t>(header.ts.tv_sec, 0, 18'000'000'000);
  const auto nanos = std::clamp<std::int64_t>(header.ts.tv_usec, 0, std::numeric_limits<std::uint32_t>::max());
  return static_cast<std::uint64_t>(seconds) * kNsPerSecond + static_cast<std::uint64_t>(nanos);
}

// Calls take for each frame until it returns false. Returns the number of frames taken.
Result<std::uint64_t> for_each_frame(const std::string& file, const std::function<bool(const CapturedFrame&)>& take) {
  auto capture = open_capture(file);
  if (!capture) return capture.error();
  pcap_t* const p = capture->get();
  for (std::uint64_t frames = 0;; ++frames) {
    pcap_pkthdr* header = nullptr;
    const u_char* data = nullptr;
    const int got = pcap_next_ex(p, &header, &data);
    if (got == PCAP_ERROR_BREAK) return frames;
    if (got != 1) {
      if (std::ferror(pcap_file(p)) != 0) return work_error(fmt::format("read capture {}: {}", file, pcap_geterr(p)));
      return bad_capture(
          file, fmt::format("cut or damaged after {} whole frames: {}. \"tcpdump -r FILE -w NEW\" keeps those", frames,
                            pcap_geterr(p)));
    }
    // SAFETY: u_char and std::byte may alias; libpcap keeps caplen bytes there until the next call.
    const auto* bytes = reinterpret_cast<const std::byte*>(data);
    if (!take({bytes, header->caplen, std::max(header->len, header->caplen), stamp_of(*header)})) return frames;
  }
}

struct Record {
  std::uint32_t length;
  bool padded, zero_filled;
};

// The whole capture: frames one behind the other in `arena`, what is known of each in `records`.
struct Recording {
  std::unique_ptr<std::byte[]> arena;
  std::uint64_t arena_bytes = 0;
  std::uint64_t expected = 0;  // frames seen when the file was measured
  std::vector<Record> records;
  std::vector<std::uint64_t> times;        // ns since the first frame; empty unless wanted
  std::uint64_t seams = 0, shortened = 0;  // of the steps in time; of the frames over kMaxFrameBytes
};

std::uint64_t next_time(std::uint64_t time, std::uint64_t before, std::uint64_t now, std::uint64_t& seams) {
  if (now < before || now - before > kSeamNs) {
    ++seams;
    return time;
  }
  return time + (now - before);
}

Result<Recording> measure(const PcapSpec& spec, std::uint64_t memory_limit) {
  Recording r;
  const auto frames = for_each_frame(spec.file, [&](const CapturedFrame& f) {
    r.arena_bytes += f.sent();
    return true;
  });
  if (!frames) return frames.error();
  if (*frames == 0) return bad_capture(spec.file, "holds no frames; expected at least one");
  const bool timed = spec.rate.kind == Rate::Kind::original;
  const std::uint64_t need = r.arena_bytes + *frames * (sizeof(Record) + (timed ? sizeof(std::uint64_t) : 0));
  constexpr std::uint64_t kMiB = 1024 * 1024;
  if (need > memory_limit) {
    return Error{
        std::errc::not_enough_memory,
        fmt::format("capture {}: its {} frames need {} MiB of memory, and at most {} MiB (half of what is available) "
                    "may be taken; replay a part of it (editcap -r) or free memory",
                    spec.file, *frames, need / kMiB + 1, memory_limit / kMiB)};
  }
  r.arena.reset(new (std::nothrow) std::byte[r.arena_bytes]);
  if (!r.arena)
    return Error{std::errc::not_enough_memory, fmt::format("capture {}: {} bytes refused", spec.file, need)};
  r.expected = *frames;
  r.records.reserve(*frames);
  if (timed) r.times.reserve(*frames);
  return r;
}

Result<Recording> load(const PcapSpec& spec, std::uint64_t memory_limit) {
  auto measured = measure(spec, memory_limit);
  if (!measured) return measured.error();
  Recording& r = *measured;
  std::uint64_t used = 0, before = 0, time = 0;
  const auto frames = for_each_frame(spec.file, [&](const CapturedFrame& f) {
    const std::uint32_t length = f.sent();
    if (length > r.arena_bytes - used || r.records.size() == r.expected) return false;
    const std::uint32_t kept = std::min(f.captured, length);
    std::memcpy(r.arena.get() + used, f.data, kept);
    std::memset(r.arena.get() + used + kept, 0, length - kept);
    used += length;
    r.shortened += f.wire > length;
    time = r.records.empty() ? 0 : next_time(time, before, f.stamp_ns, r.seams);
    before = f.stamp_ns;
    r.records.push_back({length, f.wire < length, f.captured < f.wire});
    if (spec.rate.kind == Rate::Kind::original) r.times.push_back(time);
    return true;
  });
  if (!frames) return frames.error();
  if (r.records.size() != r.expected || used != r.arena_bytes) {
    return work_error(
        fmt::format("capture {}: changed while it was read; replay it when its writer is done", spec.file));
  }
  return measured;
}

class PcapWire final : public Wire {
 public:
  PcapWire(PcapSpec spec, Recording recording)
      : spec_(std::move(spec)), recording_(std::move(recording)), pacer_(spec_.rate), at_(recording_.arena.get()) {
    const std::uint64_t records = recording_.records.size();
    total_ = spec_.count == 0 || records == 0 ? records * spec_.loop : spec_.count;
    if (recording_.times.empty()) return;
    const std::uint64_t span = recording_.times.back(), gaps = recording_.times.size() - 1;
    const auto line_ns =
        static_cast<std::uint64_t>((recording_.records.back().length + kLayer1Overhead) * 8e9 / kLineRateBits);
    pass_ns_ = span + std::max(line_ns, gaps == 0 ? 0 : span / gaps);
  }

  const WireFrame* next() noexcept override {
    if (counts_.frames == total_) return nullptr;
    if (index_ == recording_.records.size()) {
      ++pass_;
      index_ = 0;
      at_ = recording_.arena.get();
    }
    const Record& record = recording_.records[index_];
    const std::uint64_t time = recording_.times.empty() ? 0 : pass_ * pass_ns_ + recording_.times[index_];
    frame_ = {FrameBytes(at_, record.length), pacer_.depart(record.length, time)};
    at_ += record.length;
    ++index_;
    ++counts_.frames;
    counts_.bytes += record.length;
    counts_.padded += record.padded;
    counts_.zero_filled += record.zero_filled;
    return &frame_;
  }
  const WireCounts& counts() const noexcept override { return counts_; }
  const Rate& rate() const noexcept override { return spec_.rate; }
  std::uint64_t total_frames() const noexcept override { return total_; }

  std::string describe() const override {
    std::string text =
        fmt::format("pcap:{}, {} frames, {}", spec_.file, recording_.records.size(), to_text(spec_.rate));
    if (spec_.loop > 1 && spec_.count == 0) text += fmt::format(", {} passes", spec_.loop);
    if (spec_.count != 0) text += fmt::format(", {} in all", spec_.count);
    if (!recording_.times.empty() && recording_.seams > 0) {
      text += fmt::format(", {} steps backwards or over an hour taken as no time", recording_.seams);
    }
    if (recording_.shortened > 0) {
      text +=
          fmt::format(", {} frames that claim more than {} bytes cut to that", recording_.shortened, kMaxFrameBytes);
    }
    return text;
  }

 private:
  PcapSpec spec_;
  Recording recording_;
  std::uint64_t total_ = 0;
  Pacer pacer_;
  const std::byte* at_;  // the next frame's place in the arena
  std::size_t index_ = 0;
  std::uint64_t pass_ = 0, pass_ns_ = 0;
  WireFrame frame_{};
  WireCounts counts_;
};

}  // namespace

Result<std::unique_ptr<Wire>> open_pcap_wire(const PcapSpec& spec, std::uint64_t memory_limit) {
  auto recording = load(spec, memory_limit);
  if (!recording) return recording.error();
  return std::unique_ptr<Wire>(std::make_unique<PcapWire>(spec, std::move(*recording)));
}

std::uint64_t half_of_available_memory() {
  std::ifstream info("/proc/meminfo");
  std::string key;
  std::uint64_t kib = 0;
  while (info >> key) {
    if (key == "MemAvailable:" && info >> kib) return kib * 1024 / 2;
    info.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return ~std::uint64_t{0};
}

}  // namespace vigia::softnic
