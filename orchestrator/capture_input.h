// SPDX-License-Identifier: Apache-2.0
// Captures as input: opened, checked for Ethernet, read to the end; filters by libpcap. Every fault is an input error
// whose text starts with what is wrong and ends with what to do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "hw/result.h"

struct pcap;
struct bpf_program;

namespace vigia::orch {

// One record: the bytes that the capture holds, the length that the frame had on the wire, nanoseconds since 1970.
struct CapturedFrame {
  std::span<const std::byte> bytes;  // valid until the next read
  std::uint32_t wire_length = 0;
  std::uint64_t time_ns = 0;
};

// Reads pcap and pcapng with micro- or nanosecond stamps.
class CaptureInput {
 public:
  // A file that cannot be opened, is no capture or has another link type than Ethernet is an input error.
  static Result<CaptureInput> open(const std::filesystem::path& file);
  // False at the end. A record that is cut or senseless is an input error that names its number.
  Result<bool> next(CapturedFrame& frame);

 private:
  struct Close {
    void operator()(pcap* handle) const;
  };
  CaptureInput(std::unique_ptr<pcap, Close> handle, std::string name)
      : handle_(std::move(handle)), name_(std::move(name)) {}

  std::unique_ptr<pcap, Close> handle_;
  std::string name_;
  std::uint64_t records_ = 0;
};

struct CaptureSize {
  std::uint64_t frames = 0, bytes = 0;  // bytes as on the wire
};
// Reads the file to its end.
Result<CaptureSize> check_whole_capture(const std::filesystem::path& file);

// A compiled libpcap filter for Ethernet.
class Filter {
 public:
  // libpcap's own message for what it does not understand.
  static Result<Filter> compile(const std::string& expression);
  bool accepts(const CapturedFrame& frame) const;

 private:
  struct Free {
    void operator()(bpf_program* program) const;
  };
  explicit Filter(std::unique_ptr<bpf_program, Free> program) : program_(std::move(program)) {}
  std::unique_ptr<bpf_program, Free> program_;
};

}  // namespace vigia::orch
