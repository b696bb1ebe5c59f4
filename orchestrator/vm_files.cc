// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/vm_files.h"

#include <fmt/format.h>

#include <cstdlib>

namespace vigia::orch {

namespace fs = std::filesystem;

fs::path images_dir() {
  const char* given = std::getenv("VIGIA_IMAGES");
  return given != nullptr && *given != '\0' ? fs::absolute(given) : fs::path("/var/lib/vigia/images");
}

Result<DomainFiles> find_vm_files(const VmSpec& spec, const fs::path& images, const fs::path& run_dir) {
  std::error_code ignored;
  DomainFiles out;
  out.run_dir = run_dir;
  const fs::path runtime = images / "runtime/bin/qemu-system-x86_64";
  out.emulator = fs::exists(runtime, ignored) ? runtime : fs::path("/usr/bin/qemu-system-x86_64");
  const fs::path image = spec.image.find('/') == std::string::npos ? images / spec.image : fs::path(spec.image);
  if (fs::is_regular_file(image, ignored)) {
    out.disk = image;
    return out;
  }
  const auto there = [&](const char* name) { return fs::exists(image / name, ignored) ? image / name : fs::path(); };
  out.kernel = there("vmlinux");
  out.initrd = there("initrd.img");
  if (out.kernel.empty() || out.initrd.empty()) out.disk = there("disk.qcow2");
  if (!out.kernel.empty() && (!out.initrd.empty() || !out.disk.empty())) return out;
  if (!out.disk.empty()) return out;
  return input_error(
      fmt::format("{}: vm.image: {} holds neither vmlinux with initrd.img nor disk.qcow2; `./dev images` "
                  "builds them, VIGIA_IMAGES says where they are",
                  spec.file.string(), image.string()));
}

}  // namespace vigia::orch
