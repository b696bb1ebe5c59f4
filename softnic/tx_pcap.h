// SPDX-License-Identifier: Apache-2.0
// Keeps the frames that leave the port in a capture file (--tx-pcap FILE).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "hw/result.h"
#include "softnic/frame.h"

namespace vigia::softnic {

class TxPcap {
 public:
  // FILE.pcapng or FILE.pcap, both with nanosecond stamps; replaced if it exists. Another suffix is an input error.
  static Result<std::unique_ptr<TxPcap>> create(const std::string& path);
  ~TxPcap();  // writes what is buffered; an error is lost then: call close()

  // Appends a frame that left at epoch_ns (nanoseconds since 1970). After the first failure (full disk) nothing more is
  // written and every further frame is counted in lost(); how many of those before it are in the file nobody can tell.
  void write(FrameBytes frame, std::uint64_t epoch_ns) noexcept;
  // Writes what is buffered and closes the file; the error of the first failure, naming the file and lost().
  Result<Done> close();

  std::uint64_t frames() const noexcept { return frames_; }  // handed to the file
  std::uint64_t lost() const noexcept { return lost_; }

 private:
  struct File;
  explicit TxPcap(std::unique_ptr<File> file);
  std::unique_ptr<File> file_;  // empty once closed
  std::uint64_t frames_ = 0, lost_ = 0;
};

}  // namespace vigia::softnic
