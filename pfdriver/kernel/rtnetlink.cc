// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/rtnetlink.h"

#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cerrno>
#include <cstring>

#include "pfdriver/kernel/netlink_socket.h"

namespace vigia::pf {
namespace {

// The payload as a struct of the kernel's; nothing when it is shorter. Kernels only ever add at the end.
template <class T>
std::optional<T> payload(const nlattr* attribute) {
  if (mnl_attr_get_payload_len(attribute) < sizeof(T)) return std::nullopt;
  T out;
  std::memcpy(&out, mnl_attr_get_payload(attribute), sizeof out);
  return out;
}

// Drivers that do not tell leave all bits set.
std::optional<bool> tri_state(std::uint32_t setting) {
  return setting > 1 ? std::nullopt : std::optional<bool>(setting == 1);
}

std::optional<VfLink> vf_link(std::uint32_t state) {
  if (state == IFLA_VF_LINK_STATE_AUTO) return VfLink::automatic;
  if (state == IFLA_VF_LINK_STATE_ENABLE) return VfLink::up;
  if (state == IFLA_VF_LINK_STATE_DISABLE) return VfLink::down;
  return std::nullopt;
}

VfFacts parse_vf(const nlattr* info) {
  VfFacts vf;
  each_nested(info, [&](const nlattr* at) {
    switch (mnl_attr_get_type(at)) {
      case IFLA_VF_MAC:
        if (const auto mac = payload<ifla_vf_mac>(at)) std::memcpy(vf.mac.bytes.data(), mac->mac, vf.mac.bytes.size());
        break;
      case IFLA_VF_VLAN:
        if (const auto vlan = payload<ifla_vf_vlan>(at)) vf.vlan = static_cast<std::uint16_t>(vlan->vlan);
        break;
      case IFLA_VF_SPOOFCHK:
        if (const auto on = payload<ifla_vf_spoofchk>(at)) vf.spoof_check = tri_state(on->setting);
        break;
      case IFLA_VF_TRUST:
        if (const auto on = payload<ifla_vf_trust>(at)) vf.trust = tri_state(on->setting);
        break;
      case IFLA_VF_RATE:
        if (const auto rate = payload<ifla_vf_rate>(at)) vf.rate_mbps = rate->max_tx_rate;
        break;
      case IFLA_VF_LINK_STATE:
        if (const auto state = payload<ifla_vf_link_state>(at)) vf.link = vf_link(state->link_state);
        break;
      default:
        break;
    }
  });
  return vf;
}

class KernelRouteNetlink final : public RouteNetlink {
 public:
  KernelRouteNetlink(std::unique_ptr<NetlinkSocket> asking, std::unique_ptr<NetlinkSocket> listening)
      : asking_(std::move(asking)), listening_(std::move(listening)) {}

  Result<LinkFacts> link(const std::string& interface) override {
    if (interface.empty() || interface.size() >= IFNAMSIZ) {
      return input_error(fmt::format("'{}' is no name of an interface", interface));
    }
    NetlinkRequest request(RTM_GETLINK, 0);
    request.put<ifinfomsg>()->ifi_family = AF_UNSPEC;
    mnl_attr_put_strz(request.get(), IFLA_IFNAME, interface.c_str());
    mnl_attr_put_u32(request.get(), IFLA_EXT_MASK, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS);
    std::optional<LinkFacts> found;
    const auto asked = asking_->ask(request, "read interface " + interface,
                                    [&](const nlmsghdr* message) { found = parse_link(message, message->nlmsg_len); });
    if (!asked) return asked.error();
    if (!found) return work_error(fmt::format("read interface {}: the kernel's answer makes no sense", interface));
    return *found;
  }

  Result<Done> set_up(const std::string& interface, bool up) override {
    const auto index = index_of(interface);
    if (!index) return index.error();
    NetlinkRequest request(RTM_NEWLINK, 0);
    auto* info = request.put<ifinfomsg>();
    info->ifi_index = *index;
    info->ifi_change = IFF_UP;
    info->ifi_flags = up ? static_cast<unsigned>(IFF_UP) : 0;
    return asking_->ask(request, fmt::format("set {} {}", interface, up ? "up" : "down"));
  }

  Result<Done> set_mtu(const std::string& interface, unsigned mtu) override {
    const auto index = index_of(interface);
    if (!index) return index.error();
    NetlinkRequest request(RTM_NEWLINK, 0);
    request.put<ifinfomsg>()->ifi_index = *index;
    mnl_attr_put_u32(request.get(), IFLA_MTU, mtu);
    return asking_->ask(request, fmt::format("set MTU {} of {}", mtu, interface));
  }

  Result<Done> set_vf(const std::string& interface, unsigned vf, const VfChange& change) override {
    const auto index = index_of(interface);
    if (!index) return index.error();
    NetlinkRequest request(RTM_SETLINK, 0);
    request.put<ifinfomsg>()->ifi_index = *index;
    nlattr* const list = mnl_attr_nest_start(request.get(), IFLA_VFINFO_LIST);
    nlattr* const info = mnl_attr_nest_start(request.get(), IFLA_VF_INFO);
    put(request.get(), vf, change);
    mnl_attr_nest_end(request.get(), info);
    mnl_attr_nest_end(request.get(), list);
    return asking_->ask(request, fmt::format("set VF {} of {}", vf, interface));
  }

  int event_fd() const override { return listening_->fd(); }
  bool take_events() override { return listening_->drain(); }

 private:
  static void put(nlmsghdr* message, unsigned vf, const VfChange& change) {
    const auto add = [message](std::uint16_t type, const auto& value) {
      mnl_attr_put(message, type, sizeof value, &value);
    };
    if (change.mac) {
      ifla_vf_mac mac{};
      mac.vf = vf;
      std::memcpy(mac.mac, change.mac->bytes.data(), change.mac->bytes.size());
      add(IFLA_VF_MAC, mac);
    }
    if (change.vlan) add(IFLA_VF_VLAN, ifla_vf_vlan{vf, *change.vlan, 0});
    if (change.spoof_check) add(IFLA_VF_SPOOFCHK, ifla_vf_spoofchk{vf, *change.spoof_check});
    if (change.trust) add(IFLA_VF_TRUST, ifla_vf_trust{vf, *change.trust});
    if (change.rate_mbps) add(IFLA_VF_RATE, ifla_vf_rate{vf, 0, *change.rate_mbps});
    if (change.link) {
      constexpr std::uint32_t kStates[] = {IFLA_VF_LINK_STATE_AUTO, IFLA_VF_LINK_STATE_ENABLE,
                                           IFLA_VF_LINK_STATE_DISABLE};
      add(IFLA_VF_LINK_STATE, ifla_vf_link_state{vf, kStates[static_cast<std::size_t>(*change.link)]});
    }
  }

  Result<int> index_of(const std::string& interface) {
    const auto found = link(interface);
    if (!found) return found.error();
    return found->index;
  }

  std::unique_ptr<NetlinkSocket> asking_, listening_;
};

}  // namespace

std::optional<LinkFacts> parse_link(const void* bytes, std::size_t size) {
  const auto* message = static_cast<const nlmsghdr*>(bytes);
  if (size < sizeof(nlmsghdr) + sizeof(ifinfomsg) || !mnl_nlmsg_ok(message, static_cast<int>(size)) ||
      message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(ifinfomsg)) {
    return std::nullopt;
  }
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  LinkFacts out;
  out.index = info->ifi_index;
  out.up = (info->ifi_flags & IFF_UP) != 0;
  out.carrier = (info->ifi_flags & IFF_RUNNING) != 0;
  each_in_message(message, sizeof(ifinfomsg), [&](const nlattr* at) {
    const std::uint16_t type = mnl_attr_get_type(at);
    if (type == IFLA_IFNAME && mnl_attr_validate(at, MNL_TYPE_NUL_STRING) == 0) out.name = mnl_attr_get_str(at);
    if (type == IFLA_MTU) out.mtu = payload<std::uint32_t>(at).value_or(0);
    if (type != IFLA_VFINFO_LIST) return;
    each_nested(at, [&](const nlattr* vf) {
      if (mnl_attr_get_type(vf) == IFLA_VF_INFO) out.vfs.push_back(parse_vf(vf));
    });
  });
  return out;
}

Result<std::unique_ptr<RouteNetlink>> open_route_netlink() {
  auto asking = NetlinkSocket::open();
  if (!asking) return asking.error();
  auto listening = NetlinkSocket::open(RTMGRP_LINK);
  if (!listening) return listening.error();
  return std::unique_ptr<RouteNetlink>(std::make_unique<KernelRouteNetlink>(std::move(*asking), std::move(*listening)));
}

}  // namespace vigia::pf
