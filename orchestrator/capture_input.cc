// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/capture_input.h"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include <array>
#include <system_error>

namespace vigia::orch {
namespace {

// libpcap's own limit of a record (MAXIMUM_SNAPLEN in its sources).
constexpr int kMostBytes = 262144;

}  // namespace

void CaptureInput::Close::operator()(pcap* handle) const { pcap_close(handle); }

Result<CaptureInput> CaptureInput::open(const std::filesystem::path& file) {
  std::error_code gone;
  if (const auto status = std::filesystem::status(file, gone); std::filesystem::is_directory(status)) {
    return input_error(fmt::format("{} is a folder; name a pcap or pcapng file", file.string()));
  }
  std::array<char, PCAP_ERRBUF_SIZE> why{};
  std::unique_ptr<pcap, Close> handle(
      pcap_open_offline_with_tstamp_precision(file.c_str(), PCAP_TSTAMP_PRECISION_NANO, why.data()));
  if (!handle) {
    const std::string_view reason = why.data();
    const bool named = reason.find(file.string()) != reason.npos;
    return input_error(fmt::format("{}{}{}; name a readable pcap or pcapng file", named ? "" : file.string(),
                                   named ? "" : ": ", reason));
  }
  if (const int link = pcap_datalink(handle.get()); link != DLT_EN10MB) {
    const char* name = pcap_datalink_val_to_name(link);
    return input_error(fmt::format("{} has link type {} ({}), not Ethernet; record it on an Ethernet interface",
                                   file.string(), link, name ? name : "unknown"));
  }
  return CaptureInput(std::move(handle), file.string());
}

Result<bool> CaptureInput::next(CapturedFrame& frame) {
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  const int got = pcap_next_ex(handle_.get(), &header, &data);
  if (got == PCAP_ERROR_BREAK) return false;  // the end of a file
  if (got != 1) {
    return input_error(fmt::format("{}: record {}: {}; record it again or repair it", name_, records_ + 1,
                                   pcap_geterr(handle_.get())));
  }
  ++records_;
  // SAFETY: libpcap promises caplen readable bytes at data until the next call.
  frame.bytes = {reinterpret_cast<const std::byte*>(data), header->caplen};
  frame.wire_length = header->len < header->caplen ? header->caplen : header->len;
  // With nanosecond precision libpcap keeps nanoseconds in tv_usec.
  frame.time_ns =
      static_cast<std::uint64_t>(header->ts.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(header->ts.tv_usec);
  return true;
}

Result<CaptureSize> check_whole_capture(const std::filesystem::path& file) {
  auto input = CaptureInput::open(file);
  if (!input) return input.error();
  CaptureSize size;
  CapturedFrame frame;
  for (;;) {
    auto more = input->next(frame);
    if (!more) return more.error();
    if (!*more) return size;
    ++size.frames;
    size.bytes += frame.wire_length;
  }
}

void Filter::Free::operator()(bpf_program* program) const {
  pcap_freecode(program);
  delete program;
}

Result<Filter> Filter::compile(const std::string& expression) {
  struct Close {
    void operator()(pcap* handle) const { pcap_close(handle); }
  };
  const std::unique_ptr<pcap, Close> ethernet(pcap_open_dead(DLT_EN10MB, kMostBytes));
  std::unique_ptr<bpf_program, Free> program(new bpf_program{});
  constexpr int kOptimize = 1;
  if (pcap_compile(ethernet.get(), program.get(), expression.c_str(), kOptimize, PCAP_NETMASK_UNKNOWN) != 0) {
    return input_error(fmt::format("filter \"{}\": {}; see pcap-filter(7)", expression, pcap_geterr(ethernet.get())));
  }
  return Filter(std::move(program));
}

bool Filter::accepts(const CapturedFrame& frame) const {
  pcap_pkthdr header{};
  header.caplen = static_cast<bpf_u_int32>(frame.bytes.size());
  header.len = frame.wire_length;
  // SAFETY: the program reads caplen bytes and the view holds as many.
  return pcap_offline_filter(program_.get(), &header, reinterpret_cast<const u_char*>(frame.bytes.data())) != 0;
}

}  // namespace vigia::orch
