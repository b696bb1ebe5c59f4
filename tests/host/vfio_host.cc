// SPDX-License-Identifier: Apache-2.0
// What only a host with an IOMMU shows, on our own libraries; run in the host VM by the parts of tests/host:
//   test_vfio_host fault vfio:ADDRESS SECONDS   captures on a VF with a driver bug: some descriptors hold addresses
//   that
//                                               were never mapped; prints the capture's statistics, and a canary's fate
//   test_vfio_host intx vfio:ADDRESS            raises and takes INTx of an 82576 PF, masked and unmasked
//   test_vfio_host open SPEC                    opens a function, maps and unmaps memory, says by which way
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <span>
#include <string>

#include "hw/intel/descriptor.h"
#include "hw/log.h"
#include "hw/mmio.h"
#include "hw/pci_function.h"
#include "vfdriver/capture.h"
#include "vfdriver/igbvf/device.h"
#include "vfdriver/intel/layout.h"

namespace {

using namespace vigia;

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "test_vfio_host: {}\n", result.error().text);
  std::exit(1);
}

// Hands everything through, and remembers where the driver's memory is.
class Watched final : public hw::PciFunction {
 public:
  explicit Watched(std::unique_ptr<hw::PciFunction> real) : real_(std::move(real)) {}

  const std::string& name() const override { return real_->name(); }
  hw::PciId id() const override { return real_->id(); }
  Result<hw::Bar*> map_bar(unsigned index) override { return real_->map_bar(index); }
  Result<hw::DmaMemory> allocate_dma(std::size_t size, std::string_view purpose) override {
    return real_->allocate_dma(size, purpose);
  }
  Result<hw::Iova> map_dma(const hw::DmaMemory& memory) override {
    auto iova = real_->map_dma(memory);
    if (iova) end = hw::to_integer(*iova) + memory.size(), bytes = memory.bytes();
    return iova;
  }
  Result<Done> unmap_dma(hw::Iova iova, std::size_t size) override { return real_->unmap_dma(iova, size); }
  Result<std::vector<int>> enable_msix(unsigned count) override { return real_->enable_msix(count); }
  Result<Done> disable_msix() override { return real_->disable_msix(); }
  Result<std::uint32_t> config_read(std::uint32_t offset, unsigned size) override {
    return real_->config_read(offset, size);
  }
  Result<Done> config_write(std::uint32_t offset, unsigned size, std::uint32_t value) override {
    return real_->config_write(offset, size, value);
  }
  Result<Done> reset() override { return real_->reset(); }
  bool alive() const noexcept override { return real_->alive(); }
  std::optional<std::uint64_t> stopped_accesses() override { return real_->stopped_accesses(); }

  std::span<std::byte> bytes;
  std::uint64_t end = 0;  // of what is mapped

 private:
  std::unique_ptr<hw::PciFunction> real_;
};

int fault(const std::string& spec, const std::string& seconds) {
  constexpr std::size_t kFirst = 16, kSpoiled = 8;
  constexpr std::uint64_t kFarAway = 1ull << 32;
  const std::filesystem::path stats = std::filesystem::temp_directory_path() / "vigia-fault.json";
  vf::CaptureOptions options;
  options.device = spec;
  options.name = "fault";
  options.port.tx_ring = 0;
  options.port.rx_ring = 256;
  options.max_time = std::chrono::seconds(std::atoi(seconds.c_str()));
  options.out = "/lab/fault.pcap";
  options.stats_json = stats;
  options.progress = false;
  const vf::intel::Layout layout =
      vf::intel::plan_memory(1, options.port.rx_ring, options.port.rx_buffer_kib * 1024, options.port.tx_ring);

  auto watched = std::make_unique<Watched>(must(hw::open_function(spec)));
  Watched& function = *watched;
  const std::unique_ptr<vf::VfDevice> device = must(vf::igbvf::Igbvf::open(std::move(watched), options.port));
  const std::vector<std::byte> canary(std::size_t{16} << 20, std::byte{0x5a});
  (void)must(device->start());
  // The bug: descriptors that the device has not fetched yet (it prefetches the first ones) point to nowhere.
  const auto ring = vf::intel::QueueMemory<hw::intel::RxDescriptor>::at(function.bytes, hw::Iova{0}, layout.rx[0]).ring;
  for (std::size_t i = kFirst; i < kFirst + kSpoiled; ++i) ring[i].word0 = function.end + kFarAway + i * 4096;

  vf::StopRequest stop;
  std::ofstream("/tmp/fault.ready") << "\n";
  const auto captured = vf::run_capture(options, stop, *device);
  if (!captured) fmt::print(stderr, "test_vfio_host: {}\n", captured.error().text);
  const bool whole = canary == std::vector<std::byte>(canary.size(), std::byte{0x5a});
  fmt::print("{{\"canary_whole\": {}, \"spoiled\": {}, \"statistics\": ", whole, kSpoiled);
  std::cout << std::ifstream(stats).rdbuf() << "}\n";
  return captured && whole ? 0 : 1;
}

// Registers of the 82576 PF (datasheet 8.8, at the addresses that older chips have too): a cause set by software fires
// INTx when its mask bit is on.
namespace reg {
constexpr hw::Reg<hw::Access::read_clears, 1, hw::Linear{0x00C0, 0}> ICR{"ICR"};
constexpr hw::Reg<hw::Access::write_only, 1, hw::Linear{0x00C8, 0}> ICS{"ICS"};
constexpr hw::Reg<hw::Access::read_write, 1, hw::Linear{0x00D0, 0}> IMS{"IMS"};
constexpr std::uint32_t kLinkChange = 1u << 2;
}  // namespace reg

bool fired(int eventfd, int milliseconds) {
  pollfd waiting{eventfd, POLLIN, 0};
  std::uint64_t events = 0;
  return ::poll(&waiting, 1, milliseconds) == 1 && ::read(eventfd, &events, sizeof events) == sizeof events;
}

int intx(const std::string& spec) {
  constexpr int kSoon = 500, kNever = 200;  // milliseconds
  const auto function = must(hw::open_function(spec));
  hw::Bar& bar = *must(function->map_bar(0));
  const int eventfd = must(function->enable_intx());
  bar.write(reg::IMS, reg::kLinkChange);
  bar.write(reg::ICS, reg::kLinkChange);
  const bool first = fired(eventfd, kSoon);
  (void)bar.read(reg::ICR);
  bar.write(reg::ICS, reg::kLinkChange);
  const bool while_masked = fired(eventfd, kNever);
  (void)must(function->unmask_intx());
  const bool after_unmask = fired(eventfd, kSoon);
  const bool msix_refused = !function->enable_msix(1);
  (void)must(function->disable_intx());
  const bool msix_then = static_cast<bool>(function->enable_msix(1));
  const bool flr = static_cast<bool>(function->reset());
  fmt::print(
      "{{\"fired\": {}, \"while_masked\": {}, \"after_unmask\": {}, \"msix_refused\": {}, \"msix_then\": {}, "
      "\"flr\": {}}}\n",
      first, while_masked, after_unmask, msix_refused, msix_then, flr);
  return 0;
}

int open(const std::string& spec) {
  const auto function = must(hw::open_function(spec));
  constexpr std::size_t kBytes = std::size_t{4} << 20;
  const hw::DmaMemory memory = must(function->allocate_dma(kBytes, "test"));
  const hw::Iova iova = must(function->map_dma(memory));
  const bool wrong_refused = !function->unmap_dma(iova, memory.size() / 2);
  (void)must(function->unmap_dma(iova, memory.size()));
  fmt::print("{{\"id\": \"{:04x}:{:04x}\", \"iova\": \"{:#x}\", \"page\": {}, \"wrong_unmap_refused\": {}}}\n",
             function->id().vendor, function->id().device, hw::to_integer(iova), memory.page_size(), wrong_refused);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  log::set_program("test_vfio_host");
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 3 && words[0] == "fault") return fault(words[1], words[2]);
  if (words.size() == 2 && words[0] == "intx") return intx(words[1]);
  if (words.size() == 2 && words[0] == "open") return open(words[1]);
  fmt::print(stderr, "usage: test_vfio_host fault SPEC SECONDS | intx SPEC | open SPEC\n");
  return 2;
}
