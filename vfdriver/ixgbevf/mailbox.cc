// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/ixgbevf/mailbox.h"

#include <fmt/format.h>

#include <utility>

#include "hw/ixgbe/regs_vf.h"

namespace vigia::vf::ixgbevf {

using mbx::Id;
using mbx::Message;

namespace {

std::string_view name_of(std::uint16_t id) { return mbx::name_of(static_cast<Id>(id)); }

}  // namespace

Mailbox::Mailbox(hw::Bar& bar, std::string device, Timing timing)
    : intel::Mailbox(Registers::of(bar, hw::ixgbe::vf::VFMAILBOX, hw::ixgbe::vf::VFMBMEM), &name_of, std::move(device),
                     timing) {}

void Mailbox::forget() {
  intel::Mailbox::forget();
  api_ = mbx::Api::v1_0;
}

Result<mbx::Api> Mailbox::negotiate() {
  using mbx::Api;
  for (const Api wanted : {Api::v1_5, Api::v1_4, Api::v1_3, Api::v1_2, Api::v1_1, Api::v1_0}) {
    auto reply = exchange(Message{mbx::word0(Id::api_negotiate), static_cast<std::uint32_t>(wanted)}, 3);
    if (!reply) return reply.error();
    if (judge((*reply)[0], Id::api_negotiate) != Verdict::granted) continue;
    api_ = wanted;
    break;
  }
  keeps_lock_ = mbx::at_least(api_, mbx::Api::v1_5);
  return api_;
}

Result<mbx::Queues> Mailbox::get_queues() {
  auto reply = request(Message{mbx::word0(Id::get_queues)}, 5, "to tell the number of queues");
  if (!reply) return reply.error();
  return mbx::get_queues(*reply);
}

Result<mbx::Xcast> Mailbox::set_multicast_mode(mbx::Xcast mode) {
  auto reply = request(Message{mbx::word0(Id::update_xcast_mode), static_cast<std::uint32_t>(mode)}, 2,
                       fmt::format("multicast mode {}", static_cast<std::uint32_t>(mode)));
  if (!reply) return reply.error();
  const std::uint32_t granted = (*reply)[1];
  if (granted > static_cast<std::uint32_t>(mbx::Xcast::promisc)) {
    return sentence(std::errc::protocol_error, static_cast<std::uint16_t>(Id::update_xcast_mode),
                    fmt::format("mode {} does not exist", granted));
  }
  return static_cast<mbx::Xcast>(granted);
}

Result<bool> Mailbox::link_enabled() {
  auto reply = request(Message{mbx::word0(Id::get_link_state)}, 2, "to tell the link state");
  if (!reply) return reply.error();
  return (*reply)[1] != 0;
}

Result<std::array<std::uint8_t, 128>> Mailbox::reta() {
  auto reply = request(Message{mbx::word0(Id::get_reta)}, 1, "to tell the RSS table");
  if (!reply) return reply.error();
  return mbx::get_reta(*reply);
}

Result<std::array<std::uint8_t, 40>> Mailbox::rss_key() {
  auto reply = request(Message{mbx::word0(Id::get_rss_key)}, 1, "to tell the RSS key");
  if (!reply) return reply.error();
  return mbx::get_rss_key(*reply);
}

}  // namespace vigia::vf::ixgbevf
