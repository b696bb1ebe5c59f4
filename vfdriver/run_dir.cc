// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/run_dir.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>

namespace vigia::vf {

namespace fs = std::filesystem;

fs::path run_dir() {
  if (const char* dir = std::getenv("VIGIA_RUN_DIR"); dir && *dir) return dir;
  if (::geteuid() == 0) return "/run/vigia";
  if (const char* dir = std::getenv("XDG_RUNTIME_DIR"); dir && *dir) return fs::path(dir) / "vigia";
  return fmt::format("/tmp/vigia-{}", ::geteuid());
}

Result<fs::path> make_run_dir() {
  const fs::path dir = run_dir();
  std::error_code failed;
  fs::create_directories(dir.parent_path(), failed);
  if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) {
    Error error = os_error("create the run directory " + dir.string());
    error.text += "; set VIGIA_RUN_DIR to a directory that you may write";
    return error;
  }
  struct stat st {};
  if (::lstat(dir.c_str(), &st) != 0) return os_error("look at the run directory " + dir.string());
  // In /tmp somebody else may have been there first.
  if (!S_ISDIR(st.st_mode) || (st.st_uid != ::geteuid() && st.st_uid != 0)) {
    return work_error("use the run directory " + dir.string() +
                      ": it belongs to another user; set VIGIA_RUN_DIR to a directory of yours");
  }
  return dir;
}

Result<Done> check_name(std::string_view name) {
  const auto fine = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; };
  if (name.empty() || name.size() > 63 || name.front() == '.' || !std::all_of(name.begin(), name.end(), fine)) {
    return input_error(fmt::format(
        "capture name \"{}\": want 1 to 63 letters, digits, '-', '_' or '.', not beginning with '.'", name));
  }
  return Done{};
}

Result<fs::path> socket_of(std::string_view name_or_path) {
  fs::path path;
  if (name_or_path.find('/') != std::string_view::npos) {
    path = name_or_path;
  } else {
    if (auto ok = check_name(name_or_path); !ok) return ok.error();
    path = run_dir() / (std::string(name_or_path) + ".sock");
  }
  if (path.native().size() >= sizeof(sockaddr_un{}.sun_path)) {
    return input_error(
        fmt::format("socket {}: longer than the {} bytes a unix socket may have; set VIGIA_RUN_DIR to a "
                    "shorter directory",
                    path.string(), sizeof(sockaddr_un{}.sun_path) - 1));
  }
  return path;
}

Result<CaptureTarget> target_of(std::string_view text) {
  const auto at = text.rfind('@');
  CaptureTarget target;
  if (at != text.npos) {
    const std::string_view digits = text.substr(at + 1);
    unsigned queue = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), queue);
    if (!digits.empty() && error == std::errc{} && end == digits.data() + digits.size()) {
      target.queue = queue;
      text = text.substr(0, at);
    } else if (digits.find('/') == digits.npos) {
      return input_error(fmt::format("capture \"{}\": want NAME, or NAME@QUEUE with a number from 0", text));
    }
  }
  auto socket = socket_of(text);
  if (!socket) return socket.error();
  target.socket = std::move(*socket);
  return target;
}

std::vector<std::string> known_captures() {
  std::vector<std::string> names;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(run_dir(), failed)) {
    if (entry.path().extension() == ".sock") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace vigia::vf
