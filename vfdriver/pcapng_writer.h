// SPDX-License-Identifier: Apache-2.0
// pcapng (draft-ietf-opsawg-pcapng): one section, one interface, enhanced packet blocks with nanoseconds, and the
// ledger's numbers as interface statistics at the end.
#pragma once

#include "vfdriver/frame_writer.h"

namespace vigia::vf {

class PcapngWriter final : public FrameWriter {
 public:
  PcapngWriter(OutputFile file, const CaptureDescription& description);

 private:
  std::size_t encoded_bytes(const FrameView& frame) const noexcept override;
  void encode(const FrameView& frame, std::byte* at) noexcept override;
  std::vector<std::byte> tail(const CaptureSummary& summary) override;

  std::uint64_t first_ns_ = 0, last_ns_ = 0;
};

}  // namespace vigia::vf
