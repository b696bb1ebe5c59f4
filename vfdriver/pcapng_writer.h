// SPDX-License-Identifier: Apache-2.0
// pcapng (draft-ietf-opsawg-pcapng): one section, one interface, enhanced packet blocks with nanoseconds, and the
// ledger's numbers as interface statistics at the end.
#pragma once

#include "vfdriver/frame_writer_of.h"

namespace vigia::vf {

class PcapngWriter final : public FrameWriterOf<PcapngWriter> {
 public:
  PcapngWriter(OutputFile file, const CaptureDescription& description);

  std::size_t encoded_bytes(const FrameView& frame) const noexcept;
  void encode(const FrameView& frame, std::byte* at) noexcept;

 private:
  std::vector<std::byte> tail(const CaptureSummary& summary) override;

  std::uint64_t first_ns_ = 0, last_ns_ = 0;
};

}  // namespace vigia::vf
