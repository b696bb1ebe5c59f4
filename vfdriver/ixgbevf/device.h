// SPDX-License-Identifier: Apache-2.0
// The driver of one 82599 virtual function: owns the function, its memory, mailbox and queues.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/dma_memory.h"
#include "hw/pci_function.h"
#include "vfdriver/ixgbevf/layout.h"
#include "vfdriver/ixgbevf/mailbox.h"
#include "vfdriver/ixgbevf/rx_queue.h"
#include "vfdriver/ixgbevf/signal.h"
#include "vfdriver/ixgbevf/tx_queue.h"
#include "vfdriver/vf_device.h"

namespace vigia::vf::ixgbevf {

// MSI-X vectors: RX queues can be routed to 0 and 1 only (VTIVAR), the mailbox to any.
constexpr unsigned kRxVector = 0, kPfVector = 1, kVectors = 2;

struct Timing {
  Mailbox::Timing mailbox;
  // A queue's ENABLE bit: drivers poll 10 x 1 ms on hardware; a software device may have to be scheduled first.
  std::chrono::milliseconds queue{1000};
  // Between two looks at the mailbox registers for a PF that restarted without telling. Linux looks every 2 s.
  std::chrono::milliseconds look{100};
};

class Ixgbevf final : public VfDevice {
 public:
  // One step of the start sequence. The name is in its error and in the debug log.
  struct Step {
    std::string_view name;
    Result<Done> (Ixgbevf::*run)();
  };
  // In the order in which start() runs them (82599 reference, 13).
  static std::span<const Step> steps();

  // Takes the function over: maps BAR 0, allocates and maps memory, enables vectors. Options were validated. Not
  // started.
  static Result<std::unique_ptr<VfDevice>> open(std::unique_ptr<hw::PciFunction> function, const PortOptions& options,
                                                const Timing& timing = {});
  ~Ixgbevf() override;

  unsigned queues() const override { return queues_; }
  RxPort& queue(unsigned i) override;
  TxPort* tx() override { return tx_ ? &*tx_ : nullptr; }
  Result<Done> start() override;
  Result<Done> stop() override;
  Health health() override;
  Result<Done> set_mac(const hw::Mac& mac) override;
  Result<PortInfo> info() override;

 private:
  Ixgbevf(std::unique_ptr<hw::PciFunction> function, hw::Bar& bar, hw::DmaMemory memory, const PortOptions& options,
          const Timing& timing);

  void enable_vectors();
  void make_queues(hw::Iova iova, const Layout& layout);

  // Steps, in order.
  Result<Done> switch_bus_master_on();
  Result<Done> mask_interrupts();
  Result<Done> stop_queues();
  Result<Done> reset_function();
  Result<Done> wait_for_pf();
  Result<Done> clear_leftovers();
  Result<Done> say_hello();
  Result<Done> negotiate();
  Result<Done> ask_queues();
  Result<Done> ask_mac();
  Result<Done> ask_frame_size();
  Result<Done> ask_multicast();
  Result<Done> ask_vlans();
  Result<Done> program_receive();
  Result<Done> program_transmit();
  Result<Done> program_interrupts();
  Result<Done> enable_receive();
  Result<Done> enable_transmit();

  // Registers written so far have reached the device when this returns (a read pushes writes: PCI ordering).
  void flush();
  template <class Enabled>
  Result<Done> await_queue(const std::string& what, Enabled done);
  std::uint32_t max_frame() const;  // with FCS
  Error in_step(std::string_view step, const Error& error) const;

  std::unique_ptr<hw::PciFunction> function_;
  hw::Bar& bar_;
  hw::DmaMemory memory_;
  PortOptions options_;
  Timing timing_;
  Mailbox mailbox_;
  std::optional<Signal> rx_signal_, pf_signal_;  // always set after open()
  bool interrupts_ = false;
  std::vector<std::unique_ptr<RxQueue>> rx_;  // as many as options ask for; the first queues_ are in use
  std::optional<TxQueue> tx_;

  unsigned queues_ = 1;
  mbx::Queues granted_;
  hw::Mac mac_;
  bool mac_assigned_ = false;
  std::optional<mbx::Xcast> multicast_;
  bool started_ = false;
  bool lost_ = false;  // the PF has reset or forgotten this VF
  std::chrono::steady_clock::time_point next_look_{};
};

}  // namespace vigia::vf::ixgbevf
