// SPDX-License-Identifier: Apache-2.0
// Where running captures are found: one unix socket each, NAME.sock in a directory of the user.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/result.h"

namespace vigia::vf {

// $VIGIA_RUN_DIR, else /run/vigia for root, else $XDG_RUNTIME_DIR/vigia, else /tmp/vigia-UID. Not created.
std::filesystem::path run_dir();

// Creates the run directory, for its owner only. Refuses one that belongs to somebody else.
Result<std::filesystem::path> make_run_dir();

// The socket of a capture: a word with a '/' is the socket itself, anything else a name in run_dir(). A name is 1 to 63
// letters, digits, '-', '_', '.', not beginning with '.'; other names are input errors.
Result<std::filesystem::path> socket_of(std::string_view name_or_path);
// A virtual capture device (N 2): NAME is the capture with all its queues, NAME@Q one of them; NAME as for socket_of().
struct CaptureTarget {
  std::filesystem::path socket;
  std::optional<unsigned> queue;  // empty: all
};
Result<CaptureTarget> target_of(std::string_view text);
Result<Done> check_name(std::string_view name);

// Names of the sockets that lie in run_dir(), live or left behind.
std::vector<std::string> known_captures();

}  // namespace vigia::vf
