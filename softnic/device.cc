// SPDX-License-Identifier: Apache-2.0
#include "softnic/device.h"

#include <fmt/format.h>

#include <algorithm>

namespace vigia::softnic {

using namespace hw::ixgbe;

Result<std::unique_ptr<Device>> Device::create(const DeviceOptions& options, std::unique_ptr<Wire> wire,
                                               std::unique_ptr<TxPcap> tx_pcap) {
  if (options.vfs > kMaxVfs)
    return input_error(fmt::format("{} VFs: an 82599 port has at most {}", options.vfs, kMaxVfs));
  if (options.start_when_ready > options.vfs) {
    return input_error(
        fmt::format("start when {} receivers are ready: there are only {} VFs", options.start_when_ready, options.vfs));
  }
  auto chip = Chip::create(options.vfs);
  if (!chip) return chip.error();
  auto statistics = Statistics::create(options.counters, options.vfs);
  if (!statistics) return statistics.error();
  std::unique_ptr<Device> device(new Device);
  device->options_ = options;
  device->chip_ = std::move(*chip);
  device->data_path_ = std::make_unique<DataPath>(*device->chip_, std::move(*statistics), std::move(wire),
                                                  std::move(tx_pcap), options.timing);
  device->chip_->before_reset = [path = device->data_path_.get()] { path->flush_buffer(); };
  device->pf_ = std::make_unique<PfFunction>(*device->chip_);
  for (unsigned v = 0; v < options.vfs; ++v) {
    device->vfs_.push_back(std::make_unique<VfFunction>(*device->chip_, v, options.map_doorbells));
  }
  return device;
}

bool Device::run_once(std::uint64_t now_ns) {
  chip_->now_ns = now_ns;
  chip_->interrupts->tick(now_ns);
  if (last_scan_ns_ == 0 || now_ns - last_scan_ns_ >= kScanNs) {
    last_scan_ns_ = now_ns;
    scan();
    if (!data_path_->wire_started() && waits_for().empty()) data_path_->start_wire(now_ns);
    if (LiveWire* live = data_path_->live_wire()) live->set_link(data_path_->wire_started() && port_up());
  }
  return data_path_->run(now_ns);
}

void Device::scan() {
  for (unsigned v = 0; v < vfs(); ++v) {
    if (chip_->vf_cores[v]->attached) chip_->sync_vf(v);
  }
  if (chip_->filters_dirty) data_path_->decode();
}

unsigned Device::ready_receivers() const {
  unsigned ready = 0;
  const unsigned per_pool = chip_->queues_per_pool();
  for (unsigned v = 0; v < vfs() && chip_->vt_enabled(); ++v) {
    if ((chip_->registers.get(pf::PFVFRE, v / 32) >> v % 32 & 1) == 0) continue;
    // Every queue that RSS may choose: a driver enables them one by one.
    const unsigned chosen = 1u << (chip_->registers.get(pf::PSRTYPE, v) >> Psrtype::rqpl_shift);
    const unsigned first = v * per_pool, last = first + std::min(chosen, per_pool);
    bool all = true;
    for (unsigned q = first; q < last && q < pf::kQueues; ++q) {
      all = all && chip_->rx[q].usable() && chip_->rx[q].available() != 0;
    }
    ready += all;
  }
  return ready;
}

bool Device::port_up() const { return (chip_->registers.get(pf::LINKS) & Links::up) != 0 && data_path_->receiver_on(); }

std::string Device::waits_for() const {
  if (data_path_->wire_started()) return {};
  if (!port_up()) {
    return "the PF driver to switch the receiver on (RXCTRL.RXEN)";
  }
  const unsigned ready = ready_receivers();
  if (ready >= options_.start_when_ready) return {};
  return fmt::format("VF receivers: {} of {} are ready", ready, options_.start_when_ready);
}

bool Device::has_clients() const {
  const auto attached = [](const auto& core) { return core->attached; };
  return chip_->pf_core->attached || std::any_of(chip_->vf_cores.begin(), chip_->vf_cores.end(), attached);
}

std::map<std::string, std::uint64_t> Device::faults() const {
  std::map<std::string, std::uint64_t> found;
  for (unsigned q = 0; q < pf::kQueues; ++q) {
    if (const auto n = chip_->rx[q].faults(); n != 0) found[chip_->rx[q].owner()->name + ".rx_faults"] += n;
    if (const auto n = chip_->tx[q].faults(); n != 0) found[chip_->tx[q].owner()->name + ".tx_faults"] += n;
  }
  return found;
}

}  // namespace vigia::softnic
