// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/mailbox_decide.h"

#include <fmt/format.h>

#include <algorithm>

#include "pfdriver/desired.h"

namespace vigia::pf {
namespace {

namespace mbx = hw::ixgbe::mbx;
using mbx::Api;
using mbx::Message;

template <class T>
bool contains(const std::vector<T>& list, const T& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// One answer in the making. Handlers return what the operator should read; a refusal is always such a sentence.
class Answer {
 public:
  Answer(const Message& request, const VfState& state, const MailboxPolicy& policy)
      : request_(request), state_(state), policy_(policy) {
    out_.next = state;
    out_.reply = Message{};
  }

  Decision decide() {
    using mbx::Id;
    switch (mbx::id_of(request_[0])) {
      case Id::set_mac_addr:
        return set_mac();
      case Id::set_multicast:
        return set_multicast();
      case Id::set_vlan:
        return set_vlan();
      case Id::set_lpe:
        return set_lpe();
      case Id::set_macvlan:
        return set_macvlan();
      case Id::api_negotiate:
        return negotiate();
      case Id::get_queues:
        return get_queues();
      case Id::get_reta:
      case Id::get_rss_key:
        return get_rss();
      case Id::update_xcast_mode:
        return set_xcast();
      case Id::get_link_state:
        return get_link_state();
      case Id::ipsec_add:
      case Id::ipsec_del:
        return refuse("IPsec offload is not provided");
      case Id::reset:
        break;
    }
    return refuse(fmt::format("message {:08x} is not known", request_[0]));
  }

  Decision reset() {
    forget();
    out_.next.clear_to_send = true;
    out_.next.transmit = true;
    // A frame size of the port that an old VF could not take keeps its receiver off until it says SET_LPE (8.6).
    out_.next.receive = !policy_.one_frame_size || policy_.port_frame <= kOrdinaryFrame;
    out_.actions = {Action::clear_mailbox, Action::reset_queues, Action::program};
    const bool assigned = policy_.vf.mac.has_value();
    (*out_.reply)[0] = mbx::word0(mbx::Id::reset) | (assigned ? mbx::kSuccess : mbx::kFailure);
    mbx::put_mac(*out_.reply, policy_.vf.mac.value_or(hw::Mac{}));
    (*out_.reply)[3] = 0;  // multicast hash offset, MCSTCTRL.MO
    out_.words = 4;
    out_.event = Event::reset;
    out_.remark = fmt::format("{} has reset{}", policy_.vf.title(),
                              out_.next.receive ? "" : "; its receiver stays off until it sets its frame size");
    return std::move(out_);
  }

  void forget() { out_.next = VfState{}; }

 private:
  Decision reply(std::uint32_t flag, unsigned words) {
    (*out_.reply)[0] = request_[0] | flag | mbx::kCts;
    out_.words = words;
    return std::move(out_);
  }
  Decision accept(unsigned words = 1) { return reply(mbx::kSuccess, words); }
  Decision accept_and_program(std::string remark = {}) {
    out_.remark = std::move(remark);
    if (out_.next != state_) out_.actions.push_back(Action::program);
    return accept();
  }
  // The state stays as it was, unless the handler changed it on purpose.
  Decision refuse(const std::string& why) {
    out_.event = Event::refusal;
    out_.remark = fmt::format("{}: {} refused: {}", policy_.vf.title(), mbx::name_of(mbx::id_of(request_[0])), why);
    return reply(mbx::kFailure, 1);
  }

  // Why a VF may not use this address; empty when it may.
  std::string why_not(const hw::Mac& mac) const {
    if (mac.zero() || mac.multicast()) return fmt::format("{} is no unicast address", mac.text());
    if (contains(policy_.foreign_macs, mac)) return fmt::format("{} is another function's address", mac.text());
    return "";
  }

  Decision set_mac() {
    const hw::Mac mac = mbx::get_mac(request_);
    if (const std::string why = why_not(mac); !why.empty()) return refuse(why);
    const bool own = policy_.vf.mac == mac;
    if (policy_.vf.mac && !own && !policy_.vf.trust) {
      return refuse(fmt::format("its address is {} by configuration and trust is off", policy_.vf.mac->text()));
    }
    out_.next.mac = own ? std::nullopt : std::optional(mac);
    return accept_and_program(out_.next == state_ ? ""
                                                  : fmt::format("{} uses address {}", policy_.vf.title(), mac.text()));
  }

  Decision set_multicast() {
    const std::uint32_t count = mbx::argument_of(request_[0]);
    if (count > mbx::kMaxMulticastHashes) {
      return refuse(fmt::format("{} hashes in a message that holds {}", count, mbx::kMaxMulticastHashes));
    }
    out_.next.multicast.clear();
    for (unsigned i = 0; i < count; ++i) {
      out_.next.multicast.push_back(mbx::multicast_hash_at(request_, i) & 0xfff);
    }
    out_.next.hash_multicast = count > 0;
    return accept_and_program();
  }

  Decision set_vlan() {
    const bool add = mbx::argument_of(request_[0]) != 0;
    const auto vid = static_cast<std::uint16_t>(request_[1] & 0xfff);
    if (policy_.vf.port_vlan) return refuse("its port VLAN is set by configuration");
    if (!add) {
      if (policy_.vf.vlan == vid) return refuse(fmt::format("VLAN {} is set by configuration", vid));
      out_.next.vlans.erase(vid);
      return accept_and_program();
    }
    if (vid == 0xfff) return refuse("VLAN 4095 is reserved");
    if (policy_.vf.vlan == vid) return accept();
    if (contains(policy_.foreign_vlans, vid)) {
      return refuse(fmt::format("VLAN {} is mirrored for another VF, whose tap would copy this VF too", vid));
    }
    if (!policy_.vlan_entry_free && !contains(policy_.known_vlans, vid)) {
      return refuse("all pool VLAN filters are in use");
    }
    out_.next.vlans.insert(vid);
    return accept_and_program();
  }

  Decision set_lpe() {
    constexpr unsigned kSmallest = 68 + kFrameOverhead;  // IPv4's smallest MTU (RFC 791)
    const std::uint32_t frame = request_[1];
    const bool port_jumbo = policy_.port_frame > kOrdinaryFrame;
    const bool knows_jumbo = mbx::at_least(state_.api, Api::v1_1);
    // One frame size for all (8.6): a VF that does not fit is kept from receiving until it does.
    const bool misfit = policy_.one_frame_size && (port_jumbo ? !knows_jumbo : frame > kOrdinaryFrame);
    if (misfit) {
      out_.next.receive = false;
      if (out_.next != state_) out_.actions.push_back(Action::program);
      return refuse(port_jumbo
                        ? fmt::format("the port has frames of {} bytes, and a driver of API {} cannot take them; "
                                      "its receiver is off",
                                      policy_.port_frame, mbx::text_of(state_.api))
                        : fmt::format("frames of {} bytes on a port with mtu {}; its receiver is off until it "
                                      "asks for {} or less",
                                      frame, policy_.port_frame - kFrameOverhead, kOrdinaryFrame));
    }
    if (frame < kSmallest || frame > policy_.largest_frame) {
      return refuse(fmt::format("frames of {} bytes; the NIC takes {} to {}", frame, kSmallest, policy_.largest_frame));
    }
    out_.next.max_frame = frame;
    out_.next.receive = true;
    return accept_and_program();
  }

  Decision set_macvlan() {
    const std::uint32_t index = mbx::argument_of(request_[0]);
    auto& list = out_.next.extra_macs;
    if (index <= 1) list.clear();  // 0: forget all; 1: the first of a new list
    if (index == 0) return accept_and_program();
    const hw::Mac mac = mbx::get_mac(request_);
    const auto undo = [&](const std::string& why) {
      out_.next = state_;
      return refuse(why);
    };
    if (policy_.vf.mac && !policy_.vf.trust) return undo("its address is set by configuration and trust is off");
    if (const std::string why = why_not(mac); !why.empty()) return undo(why);
    if (!contains(list, mac)) {
      if (list.size() >= state_.extra_macs.size() + policy_.extra_macs_free) return undo("no receive address is free");
      list.push_back(mac);
    }
    return accept_and_program(fmt::format("{} also uses address {}", policy_.vf.title(), mac.text()));
  }

  Decision negotiate() {
    const auto api = static_cast<Api>(request_[1]);
    if (request_[1] > static_cast<std::uint32_t>(Api::v1_5) || api == Api::v2_0) {
      return refuse(fmt::format("API index {} is not spoken here; 1.0 to 1.5 are", request_[1]));
    }
    out_.next.api = api;
    return accept();
  }

  Decision get_queues() {
    if (!mbx::at_least(state_.api, Api::v1_1)) return refuse("needs API 1.1");
    mbx::put_queues(*out_.reply, {.tx = policy_.queues_per_pool,
                                  .rx = policy_.queues_per_pool,
                                  .traffic_classes_or_vlan = policy_.vf.port_vlan ? 1u : 0u,
                                  .default_queue = 0});
    return accept(5);
  }

  Decision get_rss() {
    if (!mbx::at_least(state_.api, Api::v1_2)) return refuse("needs API 1.2");
    if (!policy_.vf.trust) return refuse("RSS table and key are every VF's; trust is off");
    if (mbx::id_of(request_[0]) == mbx::Id::get_reta) {
      mbx::put_reta(*out_.reply, policy_.reta);
      return accept(9);
    }
    mbx::put_rss_key(*out_.reply, policy_.rss_key);
    return accept(11);
  }

  Decision set_xcast() {
    using mbx::Xcast;
    if (!mbx::at_least(state_.api, Api::v1_2)) return refuse("needs API 1.2");
    if (request_[1] > static_cast<std::uint32_t>(Xcast::promisc)) {
      return refuse(fmt::format("mode {} does not exist", request_[1]));
    }
    auto mode = static_cast<Xcast>(request_[1]);
    out_.wants_promiscuous = mode == Xcast::promisc;
    if (mode == Xcast::promisc && !mbx::at_least(state_.api, Api::v1_3)) return refuse("PROMISC needs API 1.3");
    if (mode > Xcast::multi && !policy_.vf.trust) mode = Xcast::multi;
    if (mode == Xcast::promisc && !policy_.unicast_promiscuous) {
      return refuse("the NIC has no unicast promiscuous mode for VFs; a tap with port: true shows a VF the whole port");
    }
    out_.next.hash_multicast = mode >= Xcast::multi;
    out_.next.all_multicast = mode >= Xcast::allmulti;
    Decision done = accept_and_program();
    (*done.reply)[1] = static_cast<std::uint32_t>(mode);
    done.words = 2;
    return done;
  }

  Decision get_link_state() {
    if (!mbx::at_least(state_.api, Api::v1_2)) return refuse("needs API 1.2");
    (*out_.reply)[1] = 1;  // no VF's link is switched off by configuration
    return accept(2);
  }

  const Message& request_;
  const VfState& state_;
  const MailboxPolicy& policy_;
  Decision out_;
};

}  // namespace

Decision decide(const Message& request, const VfState& state, const MailboxPolicy& policy) {
  Answer answer(request, state, policy);
  Decision silent;
  silent.next = state;
  silent.words = 0;
  if ((request[0] & (mbx::kSuccess | mbx::kFailure)) != 0) return silent;  // our own old reply
  if (request[0] == mbx::word0(mbx::Id::reset)) return answer.reset();
  if (!state.clear_to_send) {
    silent.reply = Message{request[0] | mbx::kFailure};
    silent.words = 1;
    silent.event = Event::refusal;
    silent.remark = fmt::format("{}: {} refused: it has not reset since the PF came up", policy.vf.title(),
                                mbx::name_of(mbx::id_of(request[0])));
    return silent;
  }
  return answer.decide();
}

Decision decide_reset(const VfState& state, const MailboxPolicy& policy) {
  Decision out;
  out.actions = {Action::clear_mailbox, Action::reset_queues, Action::program};
  out.words = 0;
  if (state.clear_to_send) {
    out.event = Event::reset;
    out.remark = fmt::format("{} has been reset; what it was granted is taken back", policy.vf.title());
  }
  return out;
}

std::optional<Message> decide_ack(const VfState& state) {
  if (state.clear_to_send) return std::nullopt;
  return Message{mbx::kFailure};
}

Message ping(const VfState& state, bool leaving) {
  return Message{mbx::kPfControl | (state.clear_to_send && !leaving ? mbx::kCts : 0)};
}

}  // namespace vigia::pf
