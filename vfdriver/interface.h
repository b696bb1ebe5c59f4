// SPDX-License-Identifier: Apache-2.0
// A network interface of the kernel, as ports on it need to know it.
#pragma once

#include <optional>
#include <string>

#include "hw/fd.h"
#include "hw/mac.h"
#include "hw/result.h"

namespace vigia::vf {

// Belongs to the network namespace of the thread that opened it. Any thread; the calls are system calls.
class Interface {
 public:
  // An interface of Ethernet frames; another name is an input error that names the nearest, another kind an input
  // error.
  static Result<Interface> open(const std::string& spec, const std::string& name);

  const std::string& name() const noexcept { return name_; }
  int index() const noexcept { return index_; }
  // Whether the interface with this index still exists, whatever its name is now.
  bool exists() const noexcept;
  // The sentence for when it does not.
  std::string gone() const;
  // A port on an interface gives it no address. spec: the port's.
  static Error refuse_address(const std::string& spec);

  std::optional<hw::Mac> mac() const;
  unsigned mtu() const;                 // 0: unknown
  std::optional<bool> link_up() const;  // running: administratively up and with a carrier
  unsigned link_mbps() const;           // 0: unknown
  unsigned rx_queues() const;           // 1 where the driver does not tell
  // Whether the device takes the VLAN tag out of received frames before anybody sees them; empty: unknown.
  std::optional<bool> strips_vlan_tags() const;

 private:
  Interface(Fd socket, std::string name, int index)
      : socket_(std::move(socket)), name_(std::move(name)), index_(index) {}

  Fd socket_;  // of that namespace
  std::string name_;
  int index_;
};

}  // namespace vigia::vf
