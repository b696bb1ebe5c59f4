// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/frame_filter.h"

#include <fmt/core.h>
#include <nss.h>
#include <pcap/pcap.h>

namespace vigia::vf {
namespace {

// libpcap resolves names by the C library, which may ask servers and wait for them for half a minute.
bool names_from_files_only() {
  for (const char* database : {"hosts", "networks", "ethers"}) {
    if (::__nss_configure_lookup(database, "files") != 0) return false;
  }
  return true;
}

}  // namespace

void FrameFilter::Free::operator()(bpf_program* program) const noexcept {
  ::pcap_freecode(program);
  delete program;
}

Result<FrameFilter> FrameFilter::compile(const std::string& text) {
  FrameFilter filter;
  if (text.empty()) return filter;
  static const bool files_only = names_from_files_only();
  if (!files_only) return os_error("restrict the look-up of names in filters to files");
  const std::unique_ptr<pcap_t, decltype(&::pcap_close)> dead(::pcap_open_dead(DLT_EN10MB, 262144), &::pcap_close);
  auto program = std::make_unique<bpf_program>();
  if (!dead || ::pcap_compile(dead.get(), program.get(), text.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) {
    const std::string why = dead ? ::pcap_geterr(dead.get()) : "libpcap has no memory";
    const bool name = why.starts_with("unknown host") || why.starts_with("unknown network");
    return input_error(
        fmt::format("filter \"{}\": {}{}", text, why,
                    name ? "; no name server is asked where packets are captured: give its address" : ""));
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
