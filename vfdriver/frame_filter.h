// SPDX-License-Identifier: Apache-2.0
// A capture filter in the language of pcap-filter(7), compiled for Ethernet.
#pragma once

#include <memory>
#include <string>

#include "hw/result.h"
#include "vfdriver/record.h"

struct bpf_program;

namespace vigia::vf {

class FrameFilter {
 public:
  // An empty text lets every frame pass. What libpcap refuses is an input error with libpcap's sentence. Names of hosts
  // and networks are looked up in the system's files only, never asked of a server: this does not block.
  static Result<FrameFilter> compile(const std::string& text);

  bool passes(const FrameView& frame) const noexcept;

 private:
  struct Free {
    void operator()(bpf_program* program) const noexcept;
  };
  std::unique_ptr<bpf_program, Free> program_;
};

}  // namespace vigia::vf
