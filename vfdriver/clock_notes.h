// SPDX-License-Identifier: Apache-2.0
// What a file says of the clock behind its stamps: one line, "clock: " and what ClockReport::text() tells. A pcapng
// carries it in its comments, at its head as it was when the file began and at its end with the error bound of the
// whole capture. RAW has no place for it: beside NAME.raw lies NAME.json, an object with "clock", "hardware",
// "interface", "tap".
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "hw/result.h"
#include "vfdriver/frame_writer.h"

namespace vigia::vf {

// The clock's line of a comment; empty when there is none.
std::string clock_line(std::string_view comment);

// NAME.json of NAME.raw.
std::filesystem::path notes_path(const std::filesystem::path& raw_file);
// Replaces the notes of a RAW file, all or nothing. To lack them is no damage: an error is for the log.
Result<Done> write_notes(const std::filesystem::path& raw_file, const CaptureDescription& description);
// The clock's line of a RAW file's notes, or of a pcapng: the last one that it holds. Foreign files: empty for whatever
// cannot be understood.
std::string read_raw_clock(const std::filesystem::path& raw_file);
std::string read_pcapng_clock(const std::filesystem::path& file);

}  // namespace vigia::vf
