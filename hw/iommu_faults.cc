// SPDX-License-Identifier: Apache-2.0
#include "hw/iommu_faults.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace vigia::hw {

bool is_iommu_fault(std::string_view line, const PciAddress& address) {
  const std::string full = address.text(), without_domain = full.substr(full.find(':') + 1);
  const auto has = [line](const std::string& text) { return line.find(text) != line.npos; };
  // DMAR: [DMA Write NO_PASID] Request device [01:10.0] fault addr 0x1000 [fault reason 0x05] ..
  if (has("DMAR: ") && has("fault addr")) return has("device [" + without_domain + "]");
  // vfio-pci 0000:01:10.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e address=0x1000 flags=0x0000]
  // AMD-Vi: Event logged [IO_PAGE_FAULT device=01:10.0 domain=0x000e address=0x1000 flags=0x0000]
  if (!has("AMD-Vi: Event logged [IO_PAGE_FAULT")) return false;
  return has(" " + full + ": ") || has("device=" + full + " ") || has("device=" + without_domain + " ");
}

std::unique_ptr<IommuFaults> IommuFaults::open(const PciAddress& address, const std::string& log) {
  Fd fd(::open(log.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd || ::lseek(fd.get(), 0, SEEK_END) < 0) return nullptr;
  return std::unique_ptr<IommuFaults>(new IommuFaults(std::move(fd), address));  // private constructor
}

std::uint64_t IommuFaults::count() {
  std::array<char, 8192> record;  // one read gives one record, which is never longer (CONSOLE_EXT_LOG_MAX)
  for (;;) {
    const ssize_t n = ::read(log_.get(), record.data(), record.size());
    if (n < 0 && errno == EPIPE) continue;  // records were overwritten before they were read
    if (n <= 0) return faults_;
    // An ordinary file, in tests, gives several lines at once.
    std::string_view text(record.data(), static_cast<std::size_t>(n));
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      if (is_iommu_fault(text.substr(0, end), address_)) ++faults_;
      text = end == text.npos ? std::string_view() : text.substr(end + 1);
    }
  }
}

}  // namespace vigia::hw
