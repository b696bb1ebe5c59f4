// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/interface.h"

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "hw/spelling.h"

namespace vigia::vf {
namespace {

ifreq named(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

// One ethtool question; false: the driver does not answer it.
bool ask_driver(int socket, const std::string& name, void* question) {
  ifreq request = named(name);
  request.ifr_data = static_cast<char*>(question);
  return ::ioctl(socket, SIOCETHTOOL, &request) == 0;
}

std::vector<std::string> all_names() {
  std::vector<std::string> names;
  if (struct if_nameindex* all = ::if_nameindex()) {
    for (const struct if_nameindex* at = all; at->if_index != 0; ++at) names.emplace_back(at->if_name);
    ::if_freenameindex(all);
  }
  return names;
}

}  // namespace

Result<Interface> Interface::open(const std::string& spec, const std::string& name) {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return os_error("open a socket to ask about interface " + name);
  ifreq request = named(name);
  if (name.size() >= IFNAMSIZ || ::ioctl(socket.get(), SIOCGIFINDEX, &request) != 0) {
    const std::vector<std::string> names = all_names();
    const std::string_view near = hw::nearest(name, names);
    const std::string hint =
        near.empty() ? fmt::format("there are {}", fmt::join(names, ", ")) : fmt::format("did you mean '{}'?", near);
    return input_error(fmt::format("device '{}': no interface '{}' in this network namespace; {}", spec, name, hint));
  }
  const int index = request.ifr_ifindex;
  if (::ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0) return os_error("ask for the address of interface " + name);
  const unsigned kind = request.ifr_hwaddr.sa_family;
  if (kind != ARPHRD_ETHER && kind != ARPHRD_LOOPBACK) {
    return input_error(
        fmt::format("device '{}': frames of {} are not Ethernet (its link type is {})", spec, name, kind));
  }
  return Interface(std::move(socket), name, index);
}

bool Interface::exists() const noexcept {
  ifreq request{};
  request.ifr_ifindex = index_;
  return ::ioctl(socket_.get(), SIOCGIFNAME, &request) == 0 || errno != ENODEV;
}

std::optional<hw::Mac> Interface::mac() const {
  ifreq request = named(name_);
  if (::ioctl(socket_.get(), SIOCGIFHWADDR, &request) != 0) return std::nullopt;
  hw::Mac mac;
  std::memcpy(mac.bytes.data(), request.ifr_hwaddr.sa_data, mac.bytes.size());
  return mac;
}

unsigned Interface::mtu() const {
  ifreq request = named(name_);
  return ::ioctl(socket_.get(), SIOCGIFMTU, &request) == 0 ? static_cast<unsigned>(request.ifr_mtu) : 0;
}

std::optional<bool> Interface::link_up() const {
  ifreq request = named(name_);
  if (::ioctl(socket_.get(), SIOCGIFFLAGS, &request) != 0) return std::nullopt;
  return (request.ifr_flags & IFF_RUNNING) != 0 && (request.ifr_flags & IFF_UP) != 0;
}

unsigned Interface::link_mbps() const {
  ethtool_cmd command{};
  command.cmd = ETHTOOL_GSET;
  if (!ask_driver(socket_.get(), name_, &command)) return 0;
  const std::uint32_t speed = ethtool_cmd_speed(&command);
  return speed == static_cast<std::uint32_t>(SPEED_UNKNOWN) ? 0 : speed;
}

unsigned Interface::rx_queues() const {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (!ask_driver(socket_.get(), name_, &channels)) return 1;
  return std::max(1u, channels.rx_count + channels.combined_count);
}

std::optional<bool> Interface::strips_vlan_tags() const {
  ethtool_value flags{};
  flags.cmd = ETHTOOL_GFLAGS;
  if (!ask_driver(socket_.get(), name_, &flags)) return std::nullopt;
  return (flags.data & ETH_FLAG_RXVLAN) != 0;
}

std::string Interface::gone() const {
  return fmt::format("interface {} does not exist any more; was it deleted, or moved to another network namespace?",
                     name_);
}

Error Interface::refuse_address(const std::string& spec) {
  return input_error(fmt::format("device '{}': its address is the system's: ip link set", spec));
}

}  // namespace vigia::vf
