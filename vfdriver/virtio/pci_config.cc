// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/virtio/pci_config.h"

#include <fmt/format.h>

#include "hw/virtio/pci.h"

namespace vigia::vf::virtio {

namespace capability = hw::virtio::Capability;

namespace {

// More than fit into the 192 bytes behind the header: a list that runs in circles.
constexpr unsigned kMostCapabilities = 48;

}  // namespace

Result<PciConfig> PciConfig::find(hw::PciFunction& function) {
  PciConfig config(function);
  const auto status = function.config_read(hw::virtio::kPciStatus, 2);
  if (!status) return status.error();
  auto at = function.config_read(hw::virtio::kPciListAt, 1);
  if (!at) return at.error();
  if ((*status & hw::virtio::kPciStatusHasList) == 0) *at = 0;
  for (unsigned i = 0; i < kMostCapabilities && (*at & 0xfcu) != 0; ++i) {
    const std::uint32_t here = *at & 0xfcu;  // the two low bits are reserved
    const auto id = function.config_read(here, 1);
    if (!id) return id.error();
    if (*id == hw::virtio::kVendorCapability) {
      if (auto ok = config.read_capability(here); !ok) return ok.error();
    }
    at = function.config_read(here + capability::next, 1);
    if (!at) return at.error();
  }
  if (config.common_.bytes < hw::virtio::Common::bytes || config.notify_.bytes == 0 || config.window_ == 0) {
    return work_error(
        fmt::format("{}: no virtio 1.0 device: its common, notify or configuration access capability is "
                    "missing or too short; does the hypervisor offer the legacy interface only (disable-modern=on)?",
                    function.name()));
  }
  return config;
}

Result<Done> PciConfig::read_capability(std::uint32_t at) {
  const auto kind = function_->config_read(at + capability::kind, 1),
             bar = function_->config_read(at + capability::bar, 1),
             offset = function_->config_read(at + capability::offset, 4),
             bytes = function_->config_read(at + capability::bytes, 4);
  for (const auto* each : {&kind, &bar, &offset, &bytes}) {
    if (!*each) return each->error();
  }
  if (*kind == capability::pci) {
    window_ = at;
    return Done{};
  }
  Place* place = *kind == capability::common   ? &common_
                 : *kind == capability::notify ? &notify_
                 : *kind == capability::device ? &device_
                                               : nullptr;
  // The first of a kind is the one that the device prefers (4.1.4.1); BARs over 5 are reserved.
  if (place == nullptr || place->bytes != 0 || *bar > 5) return Done{};
  *place = {static_cast<std::uint8_t>(*bar), *offset, *bytes};
  if (*kind != capability::notify) return Done{};
  const auto multiplier = function_->config_read(at + capability::notify_multiplier, 4);
  if (!multiplier) return multiplier.error();
  notify_multiplier_ = *multiplier;
  return Done{};
}

Result<Done> PciConfig::point(const Place& place, std::uint32_t offset, unsigned bytes) {
  check(offset % bytes == 0);
  if (place.bytes < bytes || offset > place.bytes - bytes) {
    return work_error(
        fmt::format("{}: its configuration has {} bytes, none at {}", function_->name(), place.bytes, offset));
  }
  auto ok = function_->config_write(window_ + capability::bar, 1, place.bar);
  if (ok) ok = function_->config_write(window_ + capability::offset, 4, place.offset + offset);
  if (ok) ok = function_->config_write(window_ + capability::bytes, 4, bytes);
  return ok;
}

Result<std::uint32_t> PciConfig::read(const Place& place, std::uint32_t offset, unsigned bytes) {
  if (auto ok = point(place, offset, bytes); !ok) return ok.error();
  return function_->config_read(window_ + capability::data, bytes);
}

Result<std::uint32_t> PciConfig::common(std::uint32_t offset, unsigned bytes) { return read(common_, offset, bytes); }

Result<std::uint32_t> PciConfig::device(std::uint32_t offset, unsigned bytes) { return read(device_, offset, bytes); }

Result<Done> PciConfig::set_common(std::uint32_t offset, unsigned bytes, std::uint32_t value) {
  if (auto ok = point(common_, offset, bytes); !ok) return ok;
  return function_->config_write(window_ + capability::data, bytes, value);
}

}  // namespace vigia::vf::virtio
