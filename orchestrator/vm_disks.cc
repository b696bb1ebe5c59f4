// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/vm_disks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "hw/fd.h"
#include "hw/values.h"
#include "orchestrator/child.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;

// Less is no room for a file system and two files of it; also the least that the spec's size may be.
constexpr std::uint64_t kSmallestDisk = 16u << 20;
constexpr std::chrono::seconds kOverlayLimit{60};

Error wrong(const VmSpec& spec, std::string_view why) {
  return input_error(fmt::format("{}: vm.storage.path: {} {}", spec.file.string(), spec.storage.path, why));
}

// Of a file or block device, bytes.
Result<std::uint64_t> size_of(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return os_error("open the disk " + path);
  const off_t end = ::lseek(fd.get(), 0, SEEK_END);
  if (end < 0) return os_error("find the size of the disk " + path);
  return static_cast<std::uint64_t>(end);
}

Error no_room(const StorageSpec& storage, std::uint64_t free) {
  return work_error(fmt::format(
      "make the disk image {} of {}: {} has {} free; make room, or ask for a smaller "
      "vm.storage.size",
      storage.path, hw::size_text(storage.size), fs::path(storage.path).parent_path().string(), hw::size_text(free)));
}

}  // namespace

bool makes_storage(const StorageSpec& storage) {
  return storage.mode == StorageMode::virtio && storage.size != 0 && !fs::exists(storage.path);
}

Result<Done> check_storage(const VmSpec& spec) {
  const StorageSpec& storage = spec.storage;
  if (storage.mode != StorageMode::virtio) return Done{};
  std::error_code failed;
  const fs::file_status status = fs::status(storage.path, failed);
  if (!fs::exists(status)) {
    if (storage.size == 0) return wrong(spec, "is not there; with vm.storage.size it is made");
    const fs::path folder = fs::path(storage.path).parent_path();
    return fs::is_directory(folder, failed) ? Result<Done>(Done{})
                                            : wrong(spec, "cannot be made: its folder is not there; make that first");
  }
  if (!fs::is_regular_file(status) && !fs::is_block_file(status)) {
    return wrong(spec, "is neither a file nor a block device; name one that is");
  }
  const auto there = size_of(storage.path);
  if (!there) return there.error();
  if (*there < storage.size) {
    return wrong(spec, fmt::format("is there and has {}, less than vm.storage.size, {}; a disk that is there is not "
                                   "made larger: remove size to use it as it is, or name another file",
                                   hw::size_text(*there), hw::size_text(storage.size)));
  }
  if (*there < kSmallestDisk) {
    return wrong(spec, fmt::format("has {}: too small to capture to; it needs {}", hw::size_text(*there),
                                   hw::size_text(kSmallestDisk)));
  }
  return Done{};
}

Result<Done> make_storage(const StorageSpec& storage) {
  if (!makes_storage(storage)) return Done{};
  // Asked before: to set aside what is not there would fill the file system for everybody first.
  struct statvfs disk {};
  const fs::path folder = fs::path(storage.path).parent_path();
  if (::statvfs(folder.c_str(), &disk) == 0 && disk.f_bavail * disk.f_frsize < storage.size) {
    return no_room(storage, disk.f_bavail * disk.f_frsize);
  }
  const Fd fd(::open(storage.path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd) return os_error("create the disk image " + storage.path);
  const auto size = static_cast<off_t>(storage.size);
  int failed = ::fallocate(fd.get(), 0, 0, size);
  // File systems that cannot set space aside.
  if (failed != 0 && errno == EOPNOTSUPP) failed = ::ftruncate(fd.get(), size);
  if (failed != 0) {
    Error error = os_error(fmt::format("make the disk image {} of {}", storage.path, hw::size_text(storage.size)));
    ::unlink(storage.path.c_str());
    return error;
  }
  return Done{};
}

Result<Done> make_overlay(const DomainFiles& files, const std::string& vm) {
  if (files.disk.empty()) return Done{};
  const fs::path log = files.console_log(vm);
  const char* format = files.disk.extension() == ".qcow2" ? "qcow2" : "raw";
  auto made = Child::start({"qemu-img",
                            {files.emulator.parent_path() / "qemu-img", "create", "-q", "-f", "qcow2", "-F", format,
                             "-b", files.disk, files.overlay(vm)},
                            log});
  if (!made) return made.error();
  made->wait_or_kill(kOverlayLimit);
  const auto& ending = made->ending();
  if (!ending || !ending->clean()) {
    return work_error(fmt::format("make {} on {}: qemu-img {}: {}", files.overlay(vm).string(), files.disk.string(),
                                  ending ? ending->text() : "does not end", last_lines(log, 3)));
  }
  return Done{};
}

}  // namespace vigia::orch
