// SPDX-License-Identifier: Apache-2.0
// A PCI function behind a vfio-user socket (softnic, or any server of the protocol).
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hw/iova_space.h"
#include "hw/pci_function.h"
#include "hw/register_pages.h"
#include "hw/vfio_user.h"
#include "hw/vfio_user_channel.h"

namespace vigia::hw {

// Every exchange with the device takes one lock and at most 5 s (then the device counts as dead). Mapped register pages
// need neither. When the device is found dead the mapped pages are replaced by pages of ones, so that they read as all
// others do.
class VfioUserFunction final : public PciFunction {
 public:
  // Connects, negotiates, and asks for everything that does not change: regions, interrupts, ids.
  static Result<std::unique_ptr<VfioUserFunction>> open(const std::filesystem::path& socket);
  ~VfioUserFunction() override;

  const std::string& name() const override { return name_; }
  PciId id() const override { return id_; }
  Result<Bar*> map_bar(unsigned index) override;
  Result<Iova> map_dma(const DmaMemory& memory) override;
  Result<Done> unmap_dma(Iova iova, std::size_t bytes) override;
  Result<std::vector<int>> enable_msix(unsigned count) override;
  Result<Done> disable_msix() override;
  Result<std::uint32_t> config_read(std::uint32_t offset, unsigned bytes) override;
  Result<Done> config_write(std::uint32_t offset, unsigned bytes, std::uint32_t value) override;
  Result<Done> reset() override;
  bool alive() const noexcept override;

  // Whether register writes go out without waiting for a reply: only if no page of the device can be mapped, the rule
  // that QEMU follows, too.
  bool posts_writes() const noexcept { return posts_writes_; }

 private:
  class RegionTrap;
  struct Region;
  VfioUserFunction(std::string name, std::unique_ptr<VfioUserChannel> channel);

  Result<Done> discover();
  Result<Region> ask_region(unsigned index);
  Result<Done> read_region(unsigned index, std::uint64_t offset, std::span<std::byte> out);
  Result<Done> write_region(unsigned index, std::uint64_t offset, std::span<const std::byte> in, bool may_post);
  Result<Done> set_irqs(std::uint32_t flags, unsigned start, unsigned count, std::span<const int> eventfds);
  Result<Done> switch_msix_capability(bool on);

  const std::string name_;
  mutable std::mutex lock_;  // guards the channel and everything below that changes after open()
  std::unique_ptr<VfioUserChannel> channel_;
  PciId id_{};
  unsigned msix_vectors_ = 0;
  bool posts_writes_ = false;
  std::vector<Region> regions_;  // by index
  mutable RegisterPages pages_;
  IovaSpace dma_;
  std::vector<Fd> eventfds_;  // by vector
};

}  // namespace vigia::hw
