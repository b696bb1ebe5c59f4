// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/tc/control.h"

#include <fmt/format.h>
#include <linux/gen_stats.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>

#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "pfdriver/kernel/netlink_socket.h"

namespace vigia::pf {
namespace {

// By which we know our own among an administrator's; at most TC_COOKIE_MAX_SIZE bytes.
constexpr std::array<char, 8> kCookie{'v', 'i', 'g', 'i', 'a', 't', 'a', 'p'};

std::uint32_t parent_of(Hook hook) {
  return TC_H_MAKE(TC_H_CLSACT, hook == Hook::ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

std::uint32_t info_of(std::uint16_t priority) {
  return static_cast<std::uint32_t>(priority) << 16 | static_cast<std::uint16_t>(ETH_P_ALL << 8 | ETH_P_ALL >> 8);
}

std::string_view text_in(const nlattr* attribute) {
  return mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0 ? std::string_view(mnl_attr_get_str(attribute))
                                                                : std::string_view();
}

template <class T>
bool copy_payload(const nlattr* attribute, T& out) {
  if (mnl_attr_get_payload_len(attribute) < sizeof out) return false;
  std::memcpy(&out, mnl_attr_get_payload(attribute), sizeof out);
  return true;
}

void read_statistics(const nlattr* statistics, FoundFilter& out) {
  each_nested(statistics, [&](const nlattr* at) {
    // The kernel sends the members without the padding at the end.
    if (mnl_attr_get_type(at) == TCA_STATS_BASIC && mnl_attr_get_payload_len(at) >= 12) {
      std::uint32_t packets = 0;
      std::memcpy(&packets, static_cast<const char*>(mnl_attr_get_payload(at)) + 8, sizeof packets);
      out.frames = packets;
    }
    gnet_stats_queue queue{};
    if (mnl_attr_get_type(at) == TCA_STATS_QUEUE && copy_payload(at, queue)) out.failed = queue.overlimits;
  });
}

// One action; false when it is not ours.
bool read_action(const nlattr* action, FoundFilter& out) {
  bool ours = false;
  each_nested(action, [&](const nlattr* at) {
    const std::uint16_t type = mnl_attr_get_type(at);
    if (type == TCA_ACT_COOKIE) {
      ours = mnl_attr_get_payload_len(at) == kCookie.size() &&
             std::memcmp(mnl_attr_get_payload(at), kCookie.data(), kCookie.size()) == 0;
    }
    if (type == TCA_ACT_STATS) read_statistics(at, out);
    if ((type & NLA_TYPE_MASK) != TCA_ACT_OPTIONS) return;
    each_nested(at, [&](const nlattr* option) {
      tc_mirred mirror{};
      if (mnl_attr_get_type(option) == TCA_MIRRED_PARMS && copy_payload(option, mirror)) {
        out.to_index = static_cast<int>(mirror.ifindex);
      }
    });
  });
  return ours;
}

// The filter in a message, when it is one of ours.
std::optional<FoundFilter> read_filter(const nlmsghdr* message, int interface) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(tcmsg)) return std::nullopt;
  const auto* info = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
  if (info->tcm_ifindex != interface) return std::nullopt;
  FoundFilter out;
  out.priority = static_cast<std::uint16_t>(info->tcm_info >> 16);
  std::uint16_t actions = 0;
  bool ours = false;
  each_in_message(message, sizeof(tcmsg), [&](const nlattr* at) {
    const std::uint16_t type = mnl_attr_get_type(at) & NLA_TYPE_MASK;
    if (type == TCA_KIND && text_in(at) == "flower") actions = TCA_FLOWER_ACT;
    if (type == TCA_KIND && text_in(at) == "u32") actions = TCA_U32_ACT;
    if (type != TCA_OPTIONS || actions == 0) return;
    each_nested(at, [&](const nlattr* option) {
      if ((mnl_attr_get_type(option) & NLA_TYPE_MASK) != actions) return;
      each_nested(option, [&](const nlattr* action) { ours = read_action(action, out) || ours; });
    });
  });
  return ours ? std::optional(out) : std::nullopt;
}

void put_mirror(nlmsghdr* message, std::uint16_t type, int to, Matcher matcher) {
  nlattr* const actions = mnl_attr_nest_start(message, type);
  nlattr* const action = mnl_attr_nest_start(message, 1);
  mnl_attr_put_strz(message, TCA_ACT_KIND, "mirred");
  mnl_attr_put(message, TCA_ACT_COOKIE, kCookie.size(), kCookie.data());
  nlattr* const options = mnl_attr_nest_start(message, TCA_ACT_OPTIONS);
  tc_mirred mirror{};
  // In software the administrator's own filters behind ours still have their turn; NICs know but one way to go on.
  mirror.action = matcher == Matcher::software ? TC_ACT_UNSPEC : TC_ACT_PIPE;
  mirror.eaction = TCA_EGRESS_MIRROR;
  mirror.ifindex = static_cast<std::uint32_t>(to);
  mnl_attr_put(message, TCA_MIRRED_PARMS, sizeof mirror, &mirror);
  mnl_attr_nest_end(message, options);
  mnl_attr_nest_end(message, action);
  mnl_attr_nest_end(message, actions);
}

class KernelTrafficControl final : public TrafficControl {
 public:
  explicit KernelTrafficControl(std::unique_ptr<NetlinkSocket> socket) : socket_(std::move(socket)) {}

  int index_of(const std::string& interface) override { return static_cast<int>(::if_nametoindex(interface.c_str())); }

  std::vector<std::string> interfaces() override {
    std::vector<std::string> out;
    if (struct if_nameindex* const list = ::if_nameindex()) {
      for (const struct if_nameindex* at = list; at->if_index != 0; ++at) out.emplace_back(at->if_name);
      ::if_freenameindex(list);
    }
    return out;
  }

  Result<bool> need_hooks(const std::string& interface) override {
    const int index = index_of(interface);
    NetlinkRequest look(RTM_GETQDISC, NLM_F_DUMP);
    look.put<tcmsg>()->tcm_ifindex = index;
    std::string kind;
    const auto asked = socket_->ask(look, "read the qdiscs of " + interface, [&](const nlmsghdr* message) {
      const auto* info = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
      if (mnl_nlmsg_get_payload_len(message) < sizeof(tcmsg) || info->tcm_ifindex != index) return;
      if (info->tcm_parent != TC_H_CLSACT) return;  // TC_H_INGRESS is the same number
      each_in_message(message, sizeof(tcmsg), [&](const nlattr* at) {
        if (mnl_attr_get_type(at) == TCA_KIND) kind = text_in(at);
      });
    });
    if (!asked) return asked.error();
    if (kind == "clsact") return false;
    if (!kind.empty()) {
      return work_error(
          fmt::format("{}: it has the qdisc {}, which vigia-pf does not replace; replace it by clsact, "
                      "which has all that {} has",
                      interface, kind, kind));
    }
    NetlinkRequest request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
    put_hooks(request, index);
    if (auto made = socket_->ask(request, "add the qdisc clsact to " + interface); !made) return made.error();
    return true;
  }

  Result<Done> drop_hooks(const std::string& interface) override {
    NetlinkRequest request(RTM_DELQDISC, 0);
    put_hooks(request, index_of(interface));
    return socket_->ask(request, "remove the qdisc clsact of " + interface);
  }

  Result<Done> add(const MirrorFilter& filter, Matcher matcher) override {
    NetlinkRequest request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL);
    auto* info = request.put<tcmsg>();
    info->tcm_ifindex = index_of(filter.from);
    info->tcm_parent = parent_of(filter.hook);
    info->tcm_info = info_of(filter.priority);
    const int to = index_of(filter.to);
    const bool software = matcher == Matcher::software;
    mnl_attr_put_strz(request.get(), TCA_KIND, software ? "u32" : "flower");
    nlattr* const options = mnl_attr_nest_start(request.get(), TCA_OPTIONS);
    if (software) {
      alignas(tc_u32_sel) std::array<char, sizeof(tc_u32_sel) + sizeof(tc_u32_key)> all{};
      // SAFETY: bytes as the kernel reads them, aligned and long enough; {} for a struct that ends in keys is no C++.
      auto* const selector = reinterpret_cast<tc_u32_sel*>(all.data());
      selector->flags = TC_U32_TERMINAL;
      selector->nkeys = 1;  // all 0: it compares no bit
      mnl_attr_put(request.get(), TCA_U32_SEL, all.size(), all.data());
    } else {
      mnl_attr_put_u32(request.get(), TCA_FLOWER_FLAGS, TCA_CLS_FLAGS_SKIP_SW);
    }
    const std::uint16_t actions = software ? std::uint16_t{TCA_U32_ACT} : std::uint16_t{TCA_FLOWER_ACT};
    put_mirror(request.get(), actions, to, matcher);
    mnl_attr_nest_end(request.get(), options);
    return socket_->ask(
        request, fmt::format("mirror {} of {} to {}", filter.hook == Hook::ingress ? "ingress" : "egress", filter.from,
                             filter.to));
  }

  Result<Done> remove(const std::string& interface, Hook hook, std::uint16_t priority) override {
    NetlinkRequest request(RTM_DELTFILTER, 0);
    auto* info = request.put<tcmsg>();
    info->tcm_ifindex = index_of(interface);
    info->tcm_parent = parent_of(hook);
    info->tcm_info = info_of(priority);
    return socket_->ask(request, fmt::format("remove the mirror of {}", interface));
  }

  Result<std::vector<FoundFilter>> ours(const std::string& interface, Hook hook) override {
    const int index = index_of(interface);
    std::vector<FoundFilter> out;
    if (index == 0) return out;
    NetlinkRequest request(RTM_GETTFILTER, NLM_F_DUMP);
    auto* info = request.put<tcmsg>();
    info->tcm_ifindex = index;
    info->tcm_parent = parent_of(hook);
    const auto asked = socket_->ask(request, "read the filters of " + interface, [&](const nlmsghdr* message) {
      if (const auto found = read_filter(message, index)) out.push_back(*found);
    });
    if (!asked) return asked.error();
    return out;
  }

 private:
  static void put_hooks(NetlinkRequest& request, int index) {
    auto* info = request.put<tcmsg>();
    info->tcm_ifindex = index;
    info->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    info->tcm_parent = TC_H_CLSACT;
    mnl_attr_put_strz(request.get(), TCA_KIND, "clsact");
  }

  std::unique_ptr<NetlinkSocket> socket_;
};

}  // namespace

Result<std::unique_ptr<TrafficControl>> open_traffic_control() {
  auto socket = NetlinkSocket::open();
  if (!socket) return socket.error();
  return std::unique_ptr<TrafficControl>(std::make_unique<KernelTrafficControl>(std::move(*socket)));
}

}  // namespace vigia::pf
