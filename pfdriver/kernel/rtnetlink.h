// SPDX-License-Identifier: Apache-2.0
// Interfaces, and the VFs of one, as Linux tells and takes them over rtnetlink (rtnetlink(7), linux/if_link.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/mac.h"
#include "hw/result.h"
#include "pfdriver/config.h"

namespace vigia::pf {

// One VF as the PF's driver reports it. Nothing: the driver does not tell.
struct VfFacts {
  hw::Mac mac;
  std::uint16_t vlan = 0;  // port VLAN; 0: none
  std::optional<bool> spoof_check, trust;
  std::optional<unsigned> rate_mbps;  // transmit limit; 0: none
  std::optional<VfLink> link;
  friend bool operator==(const VfFacts&, const VfFacts&) = default;
};

struct LinkFacts {
  int index = 0;
  std::string name;
  bool up = false;       // by an administrator
  bool carrier = false;  // it has link
  unsigned mtu = 0;
  std::vector<VfFacts> vfs;
};

// What to set of a VF: those that have a value.
struct VfChange {
  std::optional<hw::Mac> mac;
  std::optional<std::uint16_t> vlan;
  std::optional<bool> spoof_check, trust;
  std::optional<unsigned> rate_mbps;
  std::optional<VfLink> link;
};

// One thread. An error holds the kernel's own words where it gave some.
class RouteNetlink {
 public:
  virtual ~RouteNetlink() = default;
  // No such interface: no_such_device.
  virtual Result<LinkFacts> link(const std::string& interface) = 0;
  virtual Result<Done> set_up(const std::string& interface, bool up) = 0;
  virtual Result<Done> set_mtu(const std::string& interface, unsigned mtu) = 0;
  virtual Result<Done> set_vf(const std::string& interface, unsigned vf, const VfChange& change) = 0;

  // A descriptor that is readable when some interface has changed; -1: none.
  virtual int event_fd() const { return -1; }
  // Takes what has come; true when there was something, or when the kernel had to drop some of it.
  virtual bool take_events() { return false; }
};

// The kernel's, in the network namespace of the calling thread.
Result<std::unique_ptr<RouteNetlink>> open_route_netlink();

// The messages, for tests on recorded bytes. Nothing: they make no sense.
std::optional<LinkFacts> parse_link(const void* message, std::size_t bytes);

}  // namespace vigia::pf
