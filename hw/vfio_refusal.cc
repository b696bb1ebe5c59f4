// SPDX-License-Identifier: Apache-2.0
#include "hw/vfio_refusal.h"

#include <fmt/format.h>

#include <cerrno>

namespace vigia::hw {
namespace {

std::string subject(const PciFacts& facts, std::string_view scheme) {
  return fmt::format("open {}:{}", scheme, facts.address.text());
}

// The commands that give the function to a driver, as root.
std::string bind_commands(const PciFacts& facts, std::string_view driver, bool loaded) {
  const std::string address = facts.address.text(), folder = "/sys/bus/pci/devices/" + address;
  std::string commands = "as root: ";
  if (!loaded) commands += fmt::format("modprobe {}; ", driver);
  commands += fmt::format("echo {} > {}/driver_override; ", driver, folder);
  if (!facts.driver.empty()) commands += fmt::format("echo {} > {}/driver/unbind; ", address, folder);
  return commands + fmt::format("echo {} > /sys/bus/pci/drivers_probe", address);
}

std::optional<Error> not_held_by(const PciFacts& facts, std::string_view scheme, std::string_view driver, bool loaded) {
  if (!facts.present) {
    return input_error(
        fmt::format("{}: this machine has no such PCI device; `lspci -D` lists them", subject(facts, scheme)));
  }
  if (facts.driver == driver) return std::nullopt;
  return work_error(fmt::format("{}: {}, not by {}; {}", subject(facts, scheme),
                                facts.driver.empty() ? std::string("it is held by no driver")
                                                     : fmt::format("it is held by the driver {}", facts.driver),
                                driver, bind_commands(facts, driver, loaded)));
}

std::string node(const PciFacts& facts) {
  return fmt::format("/dev/vfio/{}{}", facts.no_iommu ? "noiommu-" : "", facts.group.value_or(0));
}

}  // namespace

std::optional<Error> why_not_vfio(const PciFacts& facts) {
  if (auto no = not_held_by(facts, "vfio", "vfio-pci", facts.has_vfio_pci)) return no;
  if (facts.no_iommu) {
    return work_error(
        fmt::format("{}: no IOMMU stands between it and memory (VFIO's no-IOMMU mode is on); boot with intel_iommu=on, "
                    "or, if every program that drives it may read and write all memory, say vfio-noiommu:{}",
                    subject(facts, "vfio"), facts.address.text()));
  }
  if (facts.group) return std::nullopt;
  return work_error(
      fmt::format("{}: it is in no IOMMU group, so the kernel knows no IOMMU for it; boot with intel_iommu=on (AMD "
                  "needs nothing) and VT-d enabled in the firmware, in a guest with a vIOMMU, or use uio:{}",
                  subject(facts, "vfio"), facts.address.text()));
}

std::optional<Error> why_not_no_iommu(const PciFacts& facts) {
  constexpr std::string_view kScheme = "vfio-noiommu";
  if (facts.group && !facts.no_iommu) {
    return work_error(fmt::format("{}: it is behind an IOMMU (group {}); use vfio:{}", subject(facts, kScheme),
                                  *facts.group, facts.address.text()));
  }
  if (facts.no_iommu && facts.driver == "vfio-pci") return std::nullopt;
  if (facts.present && facts.driver == "vfio-pci") {
    return work_error(
        fmt::format("{}: VFIO refuses devices without an IOMMU; as root: echo Y > "
                    "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode, then bind the device anew",
                    subject(facts, kScheme)));
  }
  return not_held_by(facts, kScheme, "vfio-pci", facts.has_vfio_pci);
}

std::optional<Error> why_not_uio(const PciFacts& facts) {
  if (auto no = not_held_by(facts, "uio", "uio_pci_generic", facts.has_uio_generic)) return no;
  if (facts.uio.empty()) {
    return work_error(fmt::format("{}: uio_pci_generic holds it, but shows no uio device in {}/uio; look at dmesg",
                                  subject(facts, "uio"), facts.folder.string()));
  }
  if (!facts.group || facts.group_type == "identity") return std::nullopt;
  return work_error(
      fmt::format("{}: an IOMMU translates its addresses (group {}, type {}), so that the device would not reach "
                  "physical memory and no frame would arrive; use vfio:{}, or boot with iommu=pt",
                  subject(facts, "uio"), *facts.group, facts.group_type.empty() ? "unknown" : facts.group_type,
                  facts.address.text()));
}

Error vfio_container_refused(const PciFacts& facts, int error_number) {
  const std::string what = subject(facts, "vfio") + ": open /dev/vfio/vfio";
  switch (error_number) {
    case ENOENT:
    case ENODEV:
      return os_error(what + " (as root: modprobe vfio_iommu_type1)", error_number);
    case EACCES:
    case EPERM:
      return os_error(what + " (as root: chmod 666 /dev/vfio/vfio, which is safe)", error_number);
    default:
      return os_error(what, error_number);
  }
}

Error vfio_group_refused(const PciFacts& facts, int error_number) {
  const std::string what = fmt::format("{}: open {}", subject(facts, "vfio"), node(facts));
  switch (error_number) {
    case ENOENT:
      return os_error(fmt::format("{} ({})", what, bind_commands(facts, "vfio-pci", facts.has_vfio_pci)), error_number);
    case EACCES:
    case EPERM:
      return os_error(fmt::format("{} (as root: chown USER {})", what, node(facts)), error_number);
    case EBUSY:
      return os_error(
          what + " (another process drives a device of this group; `fuser -v " + node(facts) + "` names it)",
          error_number);
    default:
      return os_error(what, error_number);
  }
}

Error vfio_cdev_refused(const PciFacts& facts, const std::string& device, int error_number) {
  const std::string what = fmt::format("{}: open {}", subject(facts, "vfio"), device);
  switch (error_number) {
    case EACCES:
      return os_error(fmt::format("{} (as root: chown USER {})", what, device), error_number);
    case EBUSY:
      return os_error(
          what + " (another process drives it, or its group; `fuser -v " + device + " " + node(facts) + "` names it)",
          error_number);
    case EPERM:
      return os_error(what +
                          " (a device of its IOMMU group is held by a driver that is not vfio-pci, or this one was "
                          "opened in another way already)",
                      error_number);
    default:
      return os_error(what, error_number);
  }
}

Error vfio_group_not_viable(const PciFacts& facts) {
  std::string others;
  for (const auto& [address, driver] : facts.neighbours) {
    if (driver.empty() || driver == "vfio-pci" || driver == "pcieport" || driver == "pci-stub") continue;
    others += fmt::format("{}{} (driver {})", others.empty() ? "" : ", ", address, driver);
  }
  return work_error(
      fmt::format("{}: IOMMU group {} is not viable, because the kernel drives another device in it: {}; bind that to "
                  "vfio-pci too or to no driver, or put this device into a slot with a group of its own",
                  subject(facts, "vfio"), facts.group.value_or(0), others.empty() ? "none that sysfs shows" : others));
}

Error vfio_iommu_refused(const PciFacts& facts, int error_number) {
  const std::string what =
      fmt::format("{}: give group {} an IOMMU of type 1 (version 2)", subject(facts, "vfio"), facts.group.value_or(0));
  if (error_number == ENODEV || error_number == ENOTTY || error_number == EINVAL) {
    return os_error(what + " (as root: modprobe vfio_iommu_type1)", error_number);
  }
  if (error_number == EPERM) {
    return os_error(what +
                        " (interrupt remapping is off: enable it (QEMU: -device intel-iommu,intremap=on), or as root: "
                        "modprobe vfio_iommu_type1 allow_unsafe_interrupts=1)",
                    error_number);
  }
  return os_error(what, error_number);
}

Error vfio_map_refused(const std::string& device, std::uint64_t bytes, std::uint64_t mapped, std::uint64_t limit,
                       int error_number) {
  const std::string what = fmt::format("map {} bytes of DMA memory on {}", bytes, device);
  if (error_number == ENOMEM) {
    return os_error(fmt::format("{} ({} bytes are mapped already, and this process may lock {} bytes: raise the limit "
                                "with `ulimit -l unlimited` or LimitMEMLOCK=infinity, or run as root)",
                                what, mapped, limit),
                    error_number);
  }
  if (error_number == ENOSPC) {
    return os_error(what + " (too many mappings: raise vfio_iommu_type1's dma_entry_limit, or use hugepages)",
                    error_number);
  }
  return os_error(what, error_number);
}

}  // namespace vigia::hw
