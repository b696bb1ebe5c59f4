// SPDX-License-Identifier: Apache-2.0
// The driver of one virtual function of the 82576 or 82599 kind: owns the function, its memory, mailbox and queues.
// What differs between families is a Chip, and a table of steps (ixgbevf/, igbvf/).
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hw/dma_memory.h"
#include "hw/pci_function.h"
#include "vfdriver/intel/layout.h"
#include "vfdriver/intel/mailbox.h"
#include "vfdriver/intel/rx_queue.h"
#include "vfdriver/intel/signal.h"
#include "vfdriver/intel/tx_queue.h"
#include "vfdriver/vf_device.h"

namespace vigia::vf::intel {

// MSI-X vectors: RX queues can be routed to 0 and 1 only (82599 VTIVAR), the mailbox to any.
constexpr unsigned kRxVector = 0, kPfVector = 1, kVectors = 2;

struct Timing {
  Mailbox::Timing mailbox;
  // A queue's ENABLE bit: drivers poll 10 x 1 ms on hardware; a software device may have to be scheduled first.
  std::chrono::milliseconds queue{1000};
  // Between two looks at the mailbox registers for a PF that restarted without telling. Linux looks every 2 s.
  std::chrono::milliseconds look{100};
};

// Chip: registers, bits and numbers of a family, static and constexpr, and its Mailbox; see ixgbevf/chip.h.
template <class Chip>
class Vf : public VfDevice {
 public:
  // One step of the start sequence. The name is in its error and in the debug log.
  struct Step {
    std::string_view name;
    Result<Done> (Vf::*run)();
  };

  ~Vf() override;

  unsigned queues() const override { return queues_; }
  RxPort& queue(unsigned i) override;
  TxPort* tx() override { return tx_ ? &*tx_ : nullptr; }
  Result<Done> start() override;
  Result<Done> stop() override;
  Health health() override;
  Result<Done> set_mac(const hw::Mac& mac) override;
  Result<PortInfo> info() override;
  PortCounts counts() override { return {{}, {}, function_->stopped_accesses()}; }

 protected:
  // What open() has got of the function before there is a driver.
  struct Parts {
    std::unique_ptr<hw::PciFunction> function;
    hw::Bar* bar;
    hw::DmaMemory memory;
    hw::Iova iova;
    Layout layout;
  };
  // Maps BAR 0, allocates and maps memory.
  static Result<Parts> take_over(std::unique_ptr<hw::PciFunction> function, const PortOptions& options);
  // Enables vectors and makes the queues. Options were validated. Not started.
  Vf(Parts parts, const PortOptions& options, const Timing& timing);

  // In the order in which start() runs them.
  virtual std::span<const Step> sequence() const = 0;
  // A step of the family itself.
  template <class Family>
  static Step step(std::string_view name, Result<Done> (Family::*run)()) {
    return {name, static_cast<Result<Done> (Vf::*)()>(run)};
  }
  // What only this family can tell, on top of what all can.
  virtual void add_info(PortInfo& info) = 0;

  // Steps that every family has (82599 reference, 13).
  Result<Done> switch_bus_master_on();
  Result<Done> mask_interrupts();
  Result<Done> stop_queues();
  Result<Done> reset_function();
  Result<Done> wait_for_pf();
  Result<Done> clear_leftovers();
  Result<Done> say_hello();
  Result<Done> ask_mac();
  Result<Done> ask_frame_size();
  Result<Done> ask_vlans();
  Result<Done> program_receive();
  Result<Done> program_transmit();
  Result<Done> program_interrupts();
  Result<Done> enable_receive();
  Result<Done> enable_transmit();

  // Queues in use: the largest power of two that is wanted, granted and there. Says so where it is fewer than wanted.
  void choose_queues(unsigned granted);
  // An answer of the PF that start() can do without: a refusal is told and forgotten.
  Result<Done> tolerated(Result<Done> answer) const;

  typename Chip::Mailbox& mailbox() { return mailbox_; }
  hw::Bar& bar() { return bar_; }
  const PortOptions& options() const { return options_; }
  unsigned multicast_type() const { return multicast_type_; }
  unsigned granted_rx_ = 1, granted_tx_ = 1;

 private:
  void enable_vectors();
  void make_queues(hw::Iova iova, const Layout& layout);
  // Registers written so far have reached the device when this returns (a read pushes writes: PCI ordering).
  void flush() { (void)bar_.read(Chip::status); }
  template <class Ready>
  Result<Done> await_queue(const std::string& what, Ready ready);
  std::uint32_t max_frame() const;  // with FCS
  Error in_step(std::string_view step, const Error& error) const;

  std::unique_ptr<hw::PciFunction> function_;
  hw::Bar& bar_;
  hw::DmaMemory memory_;
  PortOptions options_;
  Timing timing_;
  typename Chip::Mailbox mailbox_;
  std::optional<Signal> rx_signal_, pf_signal_;  // always set
  bool interrupts_ = false;
  std::vector<std::unique_ptr<RxQueue>> rx_;  // as many as wanted and possible; the first queues_ are used
  std::optional<TxQueue> tx_;

  unsigned queues_ = 1;
  hw::Mac mac_;
  bool mac_assigned_ = false;
  unsigned multicast_type_ = 0;
  bool started_ = false;
  bool lost_ = false;  // the PF has reset or forgotten this VF
  std::chrono::steady_clock::time_point next_look_{};
};

}  // namespace vigia::vf::intel
