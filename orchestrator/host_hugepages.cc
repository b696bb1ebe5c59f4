// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/host_hugepages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <string>

#include "hw/fd.h"
#include "hw/pci_sysfs.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;

std::uint64_t pages_in(const fs::path& file) {
  const std::string text = hw::read_small_file(file);
  std::uint64_t out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

std::string names_in(const fs::path& folder, std::string_view prefix) {
  std::string out;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(folder, gone)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix)) out += (out.empty() ? "" : ", ") + name;
  }
  return out.empty() ? "nothing" : out;
}

}  // namespace

Result<HugepageChange> set_hugepages(const fs::path& root, unsigned node, std::uint64_t size, std::uint64_t count) {
  const fs::path nodes = root / "sys/devices/system/node";
  const fs::path pools = nodes / fmt::format("node{}/hugepages", node);
  std::error_code failed;
  if (!fs::is_directory(pools, failed)) {
    return input_error(fmt::format("this host has no node {} with hugepages; {} has {}", node, nodes.string(),
                                   names_in(nodes, "node")));
  }
  const fs::path pool = pools / fmt::format("hugepages-{}kB", size >> 10);
  const fs::path file = pool / "nr_hugepages";
  if (!fs::exists(file, failed)) {
    return input_error(fmt::format("node {} has no pages of {} KiB; it has {}. Pages of 1 GiB need a CPU with pdpe1gb",
                                   node, size >> 10, names_in(pools, "hugepages-")));
  }
  HugepageChange out;
  out.before = pages_in(file);
  const Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) {
    Error error = os_error("open " + file.string());
    error.text += "; only root may reserve hugepages";
    return error;
  }
  const std::string text = std::to_string(count);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return os_error(fmt::format("write {} to {}", count, file.string()));
  }
  out.after = pages_in(file);
  out.free = pages_in(pool / "free_hugepages");
  return out;
}

}  // namespace vigia::orch
