// SPDX-License-Identifier: Apache-2.0
// libpcap writes only pcap; the three blocks of pcapng that are needed are written here (draft-ietf-opsawg-pcapng).
#include "softnic/tx_pcap.h"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include <array>
#include <cerrno>
#include <cstdio>

namespace vigia::softnic {
namespace {

constexpr int kSnaplen = 262144;                   // libpcap's largest
constexpr std::size_t kBufferBytes = 1024 * 1024;  // one write call per MiB
constexpr std::uint32_t kSectionHeader = 0x0A0D0D0A, kByteOrder = 0x1A2B3C4D, kInterface = 1, kPacket = 6;
constexpr std::uint32_t kUnknownLength = 0xffffffff;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

struct PcapClose {
  void operator()(pcap_t* p) const { pcap_close(p); }
};

bool put(std::FILE* f, const void* data, std::size_t bytes) { return std::fwrite(data, 1, bytes, f) == bytes; }

bool put_preamble(std::FILE* f) {
  constexpr std::array<std::uint32_t, 7> kSection{kSectionHeader, 28, kByteOrder, 1 /* version 1.0 */, kUnknownLength,
                                                  kUnknownLength, 28};
  // Ethernet; no snap length; option if_tsresol (9), one byte, 9: nanoseconds; end of options.
  constexpr std::array<std::uint32_t, 8> kPort{kInterface, 32, 1, 0, 1u << 16 | 9, 9, 0, 32};
  return put(f, kSection.data(), sizeof kSection) && put(f, kPort.data(), sizeof kPort);
}

bool put_packet(std::FILE* f, FrameBytes frame, std::uint64_t ns) {
  const auto length = static_cast<std::uint32_t>(frame.size());
  const std::uint32_t padding = (4 - length % 4) % 4, block = 32 + length + padding;
  const std::array<std::uint32_t, 7> head{kPacket,
                                          block,
                                          0,  // interface
                                          static_cast<std::uint32_t>(ns >> 32),
                                          static_cast<std::uint32_t>(ns),
                                          length,
                                          length};
  constexpr std::array<std::byte, 3> kZeros{};
  return put(f, head.data(), sizeof head) && put(f, frame.data(), length) && put(f, kZeros.data(), padding) &&
         put(f, &block, sizeof block);
}

}  // namespace

struct TxPcap::File {
  std::string path;
  std::FILE* stream = nullptr;  // pcapng; with pcap the dumper's
  std::unique_ptr<pcap_t, PcapClose> pcap;
  pcap_dumper_t* dumper = nullptr;  // pcap only; owns stream then
  int first_error = 0;              // errno

  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { close(); }

  bool close() {
    if (stream == nullptr) return true;
    bool ok = std::fflush(stream) == 0;
    if (!ok && first_error == 0) first_error = errno;
    if (dumper != nullptr) {
      pcap_dump_close(dumper);
    } else {
      ok = std::fclose(stream) == 0 && ok;
    }
    if (!ok && first_error == 0) first_error = errno;
    stream = nullptr;
    return first_error == 0;
  }
};

TxPcap::TxPcap(std::unique_ptr<File> file) : file_(std::move(file)) {}
TxPcap::~TxPcap() = default;

Result<std::unique_ptr<TxPcap>> TxPcap::create(const std::string& path) {
  const bool pcapng = path.ends_with(".pcapng");
  if (!pcapng && !path.ends_with(".pcap")) {
    return input_error(fmt::format("file for sent frames {}: expected a name that ends in .pcapng or .pcap", path));
  }
  auto file = std::make_unique<File>();
  file->path = path;
  file->stream = std::fopen(path.c_str(), "wbe");
  if (file->stream == nullptr) return os_error(fmt::format("create file for sent frames {}", path));
  std::setvbuf(file->stream, nullptr, _IOFBF, kBufferBytes);
  if (pcapng) {
    if (!put_preamble(file->stream)) return os_error(fmt::format("write file for sent frames {}", path));
  } else {
    file->pcap.reset(pcap_open_dead_with_tstamp_precision(DLT_EN10MB, kSnaplen, PCAP_TSTAMP_PRECISION_NANO));
    check(file->pcap != nullptr);
    file->dumper = pcap_dump_fopen(file->pcap.get(), file->stream);
    if (file->dumper == nullptr) {
      file->stream = nullptr;  // libpcap has closed it
      return work_error(fmt::format("write file for sent frames {}: {}", path, pcap_geterr(file->pcap.get())));
    }
  }
  return std::unique_ptr<TxPcap>(new TxPcap(std::move(file)));
}

void TxPcap::write(FrameBytes frame, std::uint64_t epoch_ns) noexcept {
  if (!file_ || file_->first_error != 0) {
    ++lost_;
    return;
  }
  if (file_->dumper == nullptr) {
    if (!put_packet(file_->stream, frame, epoch_ns)) file_->first_error = errno;
  } else {
    pcap_pkthdr header{};
    header.ts.tv_sec = static_cast<time_t>(epoch_ns / kNsPerSecond);
    header.ts.tv_usec = static_cast<suseconds_t>(epoch_ns % kNsPerSecond);  // nanoseconds in a file of that precision
    header.caplen = header.len = static_cast<bpf_u_int32>(frame.size());
    // SAFETY: both alias anything; pcap_dump() takes its dumper as a u_char pointer for the sake of pcap_loop().
    pcap_dump(reinterpret_cast<u_char*>(file_->dumper), &header, reinterpret_cast<const u_char*>(frame.data()));
    if (std::ferror(file_->stream) != 0) file_->first_error = errno;
  }
  ++(file_->first_error == 0 ? frames_ : lost_);
}

Result<Done> TxPcap::close() {
  if (!file_) return Done{};
  const auto file = std::move(file_);
  if (file->close()) return Done{};
  return os_error(fmt::format("write file for sent frames {}: {} frames lost at least", file->path, lost_),
                  file->first_error);
}

}  // namespace vigia::softnic
