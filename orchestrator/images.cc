// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/images.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;

fs::path dir_from(const char* variable, const fs::path& fallback) {
  const char* value = std::getenv(variable);
  std::error_code ignored;
  return value != nullptr && *value != 0 ? fs::absolute(value, ignored) : fallback;
}

// Beside the programs when vigia runs where it was built.
fs::path usual_images() {
  std::error_code failed;
  const fs::path beside = fs::read_symlink("/proc/self/exe", failed).parent_path().parent_path() / "images";
  return !failed && fs::is_directory(beside, failed) ? beside : fs::path("/var/lib/vigia/images");
}

bool is_image(const fs::path& dir) { return fs::exists(dir / "initrd.img") || fs::exists(dir / "disk.qcow2"); }

std::vector<std::string> images_in(const fs::path& dir) {
  std::vector<std::string> out;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(dir, gone)) {
    if (is_image(entry.path())) out.push_back(entry.path().filename().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// What the image's builder knows that its kernel needs; empty when it left no word.
std::string kernel_arguments(const fs::path& manifest) {
  std::ifstream in(manifest);
  const auto parsed = nlohmann::json::parse(in, nullptr, false);
  if (!parsed.is_object()) return {};
  const auto at = parsed.find("cmdline");
  return at != parsed.end() && at->is_string() ? at->get<std::string>() : std::string();
}

fs::path emulator_of(const HostDirs& dirs) {
  const fs::path runtime = dirs.images / "runtime/bin/qemu-system-x86_64";
  return fs::exists(runtime) ? runtime : fs::path("/usr/bin/qemu-system-x86_64");
}

// Whether QEMU, as whatever user it runs, may use io_uring: the kernel has it and reserves it for nobody
// (Documentation/admin-guide/sysctl/kernel.rst, io_uring_disabled).
bool kernel_has_io_uring() {
  int reserved = 0;
  std::ifstream("/proc/sys/kernel/io_uring_disabled") >> reserved;
  io_uring_params wanted{};
  const long ring = reserved == 0 ? ::syscall(SYS_io_uring_setup, 1u, &wanted) : -1;
  if (ring >= 0) ::close(static_cast<int>(ring));
  return ring >= 0;
}

}  // namespace

HostDirs HostDirs::from_environment() {
  return {dir_from("VIGIA_IMAGES", usual_images()), dir_from("VIGIA_RUN", "/run/vigia")};
}

Result<DomainFiles> find_image(const HostDirs& dirs, std::string_view image) {
  DomainFiles files;
  files.run_dir = dirs.run;
  files.emulator = emulator_of(dirs);
  files.io_uring = kernel_has_io_uring();
  const fs::path named(image);
  const fs::path dir = image.find('/') == std::string_view::npos ? dirs.images / named : fs::absolute(named);
  if (fs::is_regular_file(dir)) {
    files.disk = dir;
  } else if (is_image(dir)) {
    if (fs::exists(dir / "initrd.img")) {
      files.kernel = dir / "vmlinux";
      files.initrd = dir / "initrd.img";
      files.cmdline = kernel_arguments(dir / "manifest.json");
    } else {
      files.disk = dir / "disk.qcow2";
    }
  } else {
    const auto known = images_in(dirs.images);
    return input_error(
        fmt::format("image '{}': no such image; {} has {}; build images with ./dev images, or say where "
                    "they are with VIGIA_IMAGES",
                    image, dirs.images.string(), known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
  }
  if (!fs::exists(files.emulator)) {
    return work_error(
        fmt::format("no QEMU at {}: install qemu-system-x86, or build the lab's with ./dev images runtime",
                    files.emulator.string()));
  }
  std::error_code failed;
  fs::create_directories(dirs.run, failed);
  if (failed)
    return work_error(fmt::format("create {}: {}; choose another with VIGIA_RUN", dirs.run.string(), failed.message()));
  return files;
}

}  // namespace vigia::orch
