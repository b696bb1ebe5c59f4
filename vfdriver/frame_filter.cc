// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/frame_filter.h"

#include <fmt/core.h>
#include <pcap/pcap.h>

namespace vigia::vf {

void FrameFilter::Free::operator()(bpf_program* program) const noexcept {
  ::pcap_freecode(program);
  delete program;
}

Result<FrameFilter> FrameFilter::compile(const std::string& text) {
  FrameFilter filter;
  if (text.empty()) return filter;
  const std::unique_ptr<pcap_t, decltype(&::pcap_close)> dead(::pcap_open_dead(DLT_EN10MB, 262144), &::pcap_close);
  auto program = std::make_unique<bpf_program>();
  if (!dead || ::pcap_compile(dead.get(), program.get(), text.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) {
    return input_error(
        fmt::format("filter \"{}\": {}", text, dead ? ::pcap_geterr(dead.get()) : "libpcap has no memory"));
  }
  filter.program_.reset(program.release());
  return filter;
}

bool FrameFilter::passes(const FrameView& frame) const noexcept {
  if (!program_) return true;
  pcap_pkthdr header{};
  header.caplen = static_cast<bpf_u_int32>(frame.bytes.size());
  header.len = frame.wire;
  // SAFETY: bytes as bytes.
  return ::pcap_offline_filter(program_.get(), &header, reinterpret_cast<const u_char*>(frame.bytes.data())) != 0;
}

}  // namespace vigia::vf
