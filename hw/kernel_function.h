// SPDX-License-Identifier: Apache-2.0
// A PCI function of this machine, as files of its kernel: what Linux VFIO and sysfs have in common. Registers and
// configuration space are ranges of a file; each access is one system call or a load from a mapped page.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hw/pci_function.h"
#include "hw/register_pages.h"

namespace vigia::hw {

class KernelFunction : public PciFunction {
 public:
  const std::string& name() const override { return name_; }
  PciId id() const override { return id_; }
  Result<Bar*> map_bar(unsigned index) override;
  Result<std::uint32_t> config_read(std::uint32_t offset, unsigned bytes) override;
  Result<Done> config_write(std::uint32_t offset, unsigned bytes, std::uint32_t value) override;
  // Looks at the device ten times a second at most: its status register is all ones when nothing answers.
  bool alive() const noexcept override;

 protected:
  // A range of a file. The file stays open as long as the function.
  struct FileRange {
    int fd = -1;
    std::uint64_t offset = 0, size = 0;
    std::vector<MappableArea> areas;  // of a BAR
  };

  KernelFunction(std::string name, FileRange config);
  ~KernelFunction() override;

  // Reads the ids, unless they are known, and switches memory space on, without which registers fault. To be called
  // once, when config space answers. known: the ids of a VF read as ones in its own configuration space (SR-IOV 1.1,
  // 3.4.1.1 and 3.4.1.2), which VFIO hides and others do not.
  Result<Done> identify(std::optional<PciId> known = std::nullopt);
  // Registers read as ones from here on.
  void lose() const noexcept;

 private:
  class RangeTrap;
  struct MappedBar;

  // Where BAR index is; size 0: there is none. Called once per BAR, under a lock.
  virtual Result<FileRange> find_bar(unsigned index) = 0;
  // A word of the driver itself that the device is to be given back or has left.
  virtual bool asked_to_leave() const noexcept { return false; }

  Result<Done> transfer(const FileRange& range, std::uint64_t offset, void* data, std::size_t bytes, bool write) const;

  const std::string name_;
  const FileRange config_;
  PciId id_{};
  mutable std::mutex lock_;  // guards bars_ and pages_
  std::array<std::unique_ptr<MappedBar>, 6> bars_;
  mutable RegisterPages pages_;
  mutable std::atomic<bool> gone_{false};
  mutable std::atomic<std::int64_t> next_look_ns_{0};  // steady clock
};

}  // namespace vigia::hw
