// SPDX-License-Identifier: Apache-2.0
// Several captures on disk as one stream, in the order of their stamps: the queues of a capture, each with its files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "vfdriver/reader.h"

namespace vigia::vf {

// Frames of one reader stay in their order. An error of one of them is an error when its turn has come. format: what
// the whole is called.
std::unique_ptr<FrameReader> merge_by_time(std::vector<std::unique_ptr<FrameReader>> readers, std::string format);

}  // namespace vigia::vf
