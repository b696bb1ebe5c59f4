// SPDX-License-Identifier: Apache-2.0
// What frames are received from, with its driver: a virtual function, an interface of the kernel, a vhost-user back
// end, a file. The one place where programs get their ports from.
//
//   auto device = vf::open_port("vfio-user:/run/lab/vf3.sock", options);  // opened and started
//   RxPort& queue = (*device)->queue(0);                                 // the engine's
//   ... receive, release ...
//   (*device)->stop();                                                   // the device writes no more
//   ... receive what is left ...                                         // the ledger's last frames
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/mac.h"
#include "hw/pci_function.h"
#include "hw/result.h"
#include "vfdriver/port.h"
#include "vfdriver/tx_port.h"

namespace vigia::vf {

struct PortOptions {
  unsigned queues = 1;               // RX queues wanted: 1, 2 or 4; the PF may grant fewer
  unsigned rx_ring = 2048;           // descriptors per RX queue: a power of two, 64..32768
  unsigned rx_buffer_kib = 2;        // one buffer per descriptor: 1..16
  unsigned tx_ring = 512;            // descriptors, a power of two, 64..32768; 0: this port does not send
  unsigned mtu = 1500;               // 68..9710; frames are up to 18 bytes longer (header and FCS)
  std::optional<hw::Mac> mac;        // asked of the PF; else what the PF assigned, else a random one
  std::vector<std::uint16_t> vlans;  // joined at start
  // Multicast groups wanted, at most 30. Empty: what the family can get without naming them (82576: all, 82599: those
  // that somebody on the port has joined).
  std::vector<hw::Mac> multicast;
  bool interrupts = true;  // false: wait() sleeps by timer
  // A VF may be started before its PF: how long to wait for the PF to come up.
  std::chrono::milliseconds pf_wait{10'000};
  // Set by the program's signal handler: that wait ends early, with operation_canceled. Not owned; may be null.
  const std::atomic<bool>* cancel = nullptr;
  // Bytes of a frame that anybody wants: a port that can save work hands out no more. 0: all.
  std::uint32_t snaplen = 0;
};

// What is known of a port; what a kind of port does not have or does not tell stays empty.
struct PortInfo {
  std::string device;          // the spec it was opened with
  std::string driver;          // "ixgbevf", "igbvf", "virtio-net", "AF_XDP", "AF_PACKET", "file"
  std::optional<hw::Mac> mac;  // empty: it has none, or does not tell
  bool mac_assigned = false;   // by the PF; false: chosen here
  std::string api;      // what driver and device agreed on: mailbox API "1.5", "virtio 1.0, packed"; may be empty
  unsigned queues = 0;  // RX queues in use
  unsigned granted_rx = 0, granted_tx = 0;
  unsigned mtu = 0;                  // 0: unknown
  std::optional<bool> link_up;       // empty: it has no link, or does not tell
  unsigned link_mbps = 0;            // 0: unknown
  std::optional<bool> link_enabled;  // the administrator's word on this VF; empty: the PF does not tell
  std::string stamps;                // how the port stamps frames itself, in words; empty: it does not
  std::string engine_stamps;         // how to have the engine stamp them instead, in words
  std::string multicast_mode;        // as granted: "multi"; empty: the PF does not tell
  bool interrupts = false;
  std::optional<std::array<std::uint8_t, 128>> reta;    // empty: the PF does not show it
  std::optional<std::array<std::uint8_t, 40>> rss_key;  // likewise

  // The port's address; where it has none, what it was opened with.
  std::string who() const { return mac ? mac->text() : device; }
  // For people and files: "ixgbevf 02:00:00:00:00:03, vfio-user:/run/lab/vf3.sock".
  std::string hardware() const;
};

// What a port has counted itself since it was opened. Empty: it cannot tell.
struct PortCounts {
  std::optional<std::uint64_t> offered;  // frames it saw, whether it had room or not
  std::optional<std::uint64_t> dropped;  // of those: it had no room
  // Not frames: accesses of the device that the IOMMU stopped, as far as the system tells of them.
  std::optional<std::uint64_t> stopped_accesses{};
};

enum class Health {
  good,
  pf_reset,  // the PF restarted, is down or has forgotten this VF: stop(), take what is left, start()
  gone,      // the device itself: nothing can be done
  finished   // it has delivered its last frame, as it should: a file
};

// Owns the function, its DMA memory and its queues. Control calls (all but queue() and what it returns) come from one
// thread at a time; start() and stop() only while no other thread is inside receive(), release(), wait() or send().
// The destructor stops the queues, then resets and releases what it holds.
class VfDevice {
 public:
  virtual ~VfDevice() = default;

  // RX queues in use: known after start(), constant while started.
  virtual unsigned queues() const = 0;
  virtual RxPort& queue(unsigned i) = 0;
  // Null when options.tx_ring is 0.
  virtual TxPort* tx() = 0;

  // The whole start sequence, from function reset to enabled queues. Fails with the step's name and sentence; may be
  // called again then, and after stop().
  virtual Result<Done> start() = 0;
  // The device writes nothing more when this returns; finished frames can still be taken by receive() until start().
  virtual Result<Done> stop() = 0;

  // Cheap enough for every few milliseconds: looks at the mailbox's eventfd, and at its registers ten times a second.
  virtual Health health() = 0;

  // Why health() says gone: the cause and what to do.
  virtual std::string trouble() const { return "the device is gone; is its server running?"; }
  // Cheap enough for ten times a second. After stop() the numbers are final.
  virtual PortCounts counts() { return {}; }

  // Refused where no PF or device takes an address.
  virtual Result<Done> set_mac(const hw::Mac& mac) = 0;
  // Asks the PF; only while started.
  virtual Result<PortInfo> info() = 0;
};

// Whether open_port() has a driver for functions of that id.
bool drives(hw::PciId id);

// Everything of the options that can be judged without a device; an input error.
Result<Done> validate(const PortOptions& options);

// Opens and starts the port that spec names. A wrong spec, or an option that this kind of port does not have, is an
// input error that names the nearest right one.
Result<std::unique_ptr<VfDevice>> open_port(std::string_view spec, const PortOptions& options);

// The kinds of spec that open_port() takes, a line each, for a program's help.
std::string port_specs_help();

}  // namespace vigia::vf
