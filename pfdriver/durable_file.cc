// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/fd.h"

namespace vigia::pf {

Result<Done> write_durably(const std::filesystem::path& file, const std::string& text) {
  const std::filesystem::path fresh = file.string() + ".new";
  {
    const Fd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!fd) return os_error("write journal " + fresh.string());
    if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(fd.get()) != 0) {
      return os_error("write journal " + fresh.string());
    }
  }
  if (::rename(fresh.c_str(), file.c_str()) != 0) return os_error("replace journal " + file.string());
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return os_error("write journal folder " + folder.string());
  return Done{};
}

}  // namespace vigia::pf
