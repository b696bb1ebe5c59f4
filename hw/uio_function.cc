// SPDX-License-Identifier: Apache-2.0
#include "hw/uio_function.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "hw/vfio_refusal.h"

namespace vigia::hw {
std::optional<PciId> id_in_sysfs(const std::filesystem::path& folder) {
  const auto number = [&](const char* file) {
    return static_cast<std::uint16_t>(std::strtoul(read_small_file(folder / file).c_str(), nullptr, 16));
  };
  const auto none = [](std::uint16_t id) { return id == 0 || id == 0xffff; };
  const PciId id{number("vendor"), number("device")};
  return none(id.vendor) || none(id.device) ? std::nullopt : std::optional(id);
}

Result<std::unique_ptr<UioFunction>> UioFunction::open(const std::string& name, const PciAddress& address) {
  const PciFacts facts = look_at(address);
  if (auto refusal = why_not_uio(facts)) return *refusal;
  const std::string node = "/dev/" + facts.uio;
  Fd uio(::open(node.c_str(), O_RDWR | O_CLOEXEC));
  if (!uio) return os_error(fmt::format("open {}: open {} (run as root)", name, node));
  // The kernel lets any number of processes in, and the first that leaves would switch the device off for all.
  if (::flock(uio.get(), LOCK_EX | LOCK_NB) != 0) {
    return os_error(
        fmt::format("open {}: lock {} (another process drives it; `fuser -v {}` names it)", name, node, node));
  }
  const std::filesystem::path file = facts.folder / "config";
  Fd config(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (!config) return os_error(fmt::format("open {}: open {} (run as root)", name, file.string()));
  constexpr std::uint64_t kConfigBytes = 4096;
  const FileRange range{config.get(), 0, kConfigBytes, {}};
  std::unique_ptr<UioFunction> function(
      new UioFunction(name, facts.folder, std::move(uio), std::move(config), range));  // private constructor
  if (auto known = function->identify(id_in_sysfs(facts.folder)); !known) return known.error();
  return function;
}

UioFunction::UioFunction(const std::string& name, std::filesystem::path folder, Fd uio, Fd config,
                         FileRange config_range)
    : KernelFunction(name, std::move(config_range)),
      folder_(std::move(folder)),
      uio_(std::move(uio)),
      config_(std::move(config)),
      mappings_(name) {}

// An error would only say that the device is gone.
UioFunction::~UioFunction() { (void)set_bus_master(false); }

Result<KernelFunction::FileRange> UioFunction::find_bar(unsigned index) {
  const auto sizes = parse_bar_sizes(read_small_file(folder_ / "resource"));
  if (!sizes) return work_error(fmt::format("read {}/resource: it makes no sense", folder_.string()));
  const std::uint64_t size = sizes->at(index);
  if (size == 0) return FileRange{};
  const std::filesystem::path file = folder_ / fmt::format("resource{}", index);
  Fd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return os_error(fmt::format("map BAR {} of {}: open {} (run as root)", index, name(), file.string()));
  resources_.push_back(std::move(fd));
  return FileRange{resources_.back().get(), 0, size, {{0, size}}};
}

Result<DmaMemory> UioFunction::allocate_dma(std::size_t bytes, std::string_view purpose) {
  return DmaMemory::allocate_contiguous(bytes, purpose);
}

Result<Iova> UioFunction::map_dma(const DmaMemory& memory) { return mappings_.map(memory); }

Result<Done> UioFunction::unmap_dma(Iova iova, std::size_t bytes) {
  if (auto gone = mappings_.unmap(iova, bytes); !gone) return gone;
  if (!mappings_.empty()) return Done{};
  // Nothing stands between the device and memory but this bit; with no mapping left it must not touch any.
  return set_bus_master(false);
}

Result<std::vector<int>> UioFunction::enable_msix(unsigned) {
  return work_error("enable interrupts of " + name() +
                    ": uio_pci_generic has none for functions like this one (vfio: has)");
}

Result<Done> UioFunction::reset() {
  const std::filesystem::path file = folder_ / "reset";
  const Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) {
    return os_error(
        fmt::format("reset {}: open {} (the kernel knows no way to reset this function alone, or it is gone)", name(),
                    file.string()));
  }
  if (::write(fd.get(), "1", 1) != 1) return os_error(fmt::format("reset {}: write to {}", name(), file.string()));
  return Done{};
}

}  // namespace vigia::hw
