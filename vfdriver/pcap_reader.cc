// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/pcap_reader.h"

#include <fmt/core.h>
#include <pcap/pcap.h>

#include <array>

#include "vfdriver/clock_notes.h"

namespace vigia::vf {
namespace {

struct Close {
  void operator()(pcap_t* p) const noexcept { ::pcap_close(p); }
};

class PcapReader final : public FrameReader {
 public:
  PcapReader(std::unique_ptr<pcap_t, Close> pcap, std::string path) : pcap_(std::move(pcap)), path_(std::move(path)) {
    report_.clock = read_pcapng_clock(path_);
  }

  // libpcap does not tell pcap from pcapng; the version does (pcapng is 1.0, pcap 2.4).
  std::string format() const override { return ::pcap_major_version(pcap_.get()) == 1 ? "pcapng" : "pcap"; }

 private:
  Result<bool> read(FrameView& out) override {
    pcap_pkthdr* head = nullptr;
    const u_char* data = nullptr;
    const int got = ended_ ? PCAP_ERROR_BREAK : ::pcap_next_ex(pcap_.get(), &head, &data);
    if (got == PCAP_ERROR_BREAK) return false;
    if (got != 1) {
      const std::string_view why = ::pcap_geterr(pcap_.get());
      ended_ = true;
      // libpcap has one kind of error; a file that ends early says "truncated".
      if (why.find("truncated") == std::string_view::npos) {
        return input_error(fmt::format("{}: damaged after frame {}: {}", path_, report_.frames, why));
      }
      ++report_.truncated_files;
      report_.remarks.push_back(
          fmt::format("{}: ends inside a frame, after {} whole ones ({})", path_, report_.frames, why));
      return false;
    }
    // The precision asked for at open: tv_usec holds nanoseconds; in odd files more than a second of them.
    const auto ns =
        static_cast<std::uint64_t>(head->ts.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(head->ts.tv_usec);
    out = {Stamp::of_ns(ns), head->len, std::as_bytes(std::span(data, head->caplen))};
    return true;
  }

  std::unique_ptr<pcap_t, Close> pcap_;
  std::string path_;
  bool ended_ = false;
};

}  // namespace

Result<std::unique_ptr<FrameReader>> open_pcap(const std::filesystem::path& path) {
  std::array<char, PCAP_ERRBUF_SIZE> why{};
  std::unique_ptr<pcap_t, Close> pcap{
      ::pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, why.data())};
  if (!pcap) return input_error("open " + path.string() + ": " + why.data());
  if (const int link = ::pcap_datalink(pcap.get()); link != DLT_EN10MB) {
    const char* name = ::pcap_datalink_val_to_name(link);
    return input_error(fmt::format("open {}: link type {} ({}); only Ethernet captures can be read", path.string(),
                                   link, name ? name : "unknown"));
  }
  return std::unique_ptr<FrameReader>(std::make_unique<PcapReader>(std::move(pcap), path.string()));
}

}  // namespace vigia::vf
