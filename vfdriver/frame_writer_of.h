// SPDX-License-Identifier: Apache-2.0
// What all formats of files have in common: frames put one behind the other, without a virtual call for each.
#pragma once

#include <cstddef>
#include <utility>

#include "vfdriver/frame_writer.h"
#include "vfdriver/merged_reader.h"

namespace vigia::vf {

// Format derives from it and says, as public members:
//   std::size_t encoded_bytes(const FrameView&) const noexcept;  bytes that the frame takes in the file
//   void encode(const FrameView&, std::byte* at) noexcept;       puts those there
template <class Format>
class FrameWriterOf : public FrameWriter {
 public:
  void write(const FrameView& frame) final { append(frame); }
  std::size_t write_from(MergedReader& frames, std::size_t most) final {
    return frames.read(most, [this](const FrameView& frame) { append(frame); });
  }

 protected:
  explicit FrameWriterOf(OutputFile file) : FrameWriter(std::move(file)) {}

 private:
  void append(const FrameView& frame) {
    auto& format = static_cast<Format&>(*this);
    const std::size_t n = format.encoded_bytes(frame);
    std::byte* at = file_.room(n);
    if (!at) [[unlikely]] {
      file_.count_refused();
      return;
    }
    format.encode(frame, at);
    file_.commit(n, frame.bytes.size());
  }
};

}  // namespace vigia::vf
