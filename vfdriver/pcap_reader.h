// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "vfdriver/reader.h"

namespace vigia::vf {

// pcap and pcapng through libpcap, with nanoseconds.
Result<std::unique_ptr<FrameReader>> open_pcap(const std::filesystem::path& path);

}  // namespace vigia::vf
