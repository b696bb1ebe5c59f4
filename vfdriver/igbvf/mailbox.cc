// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/igbvf/mailbox.h"

#include <utility>

#include "hw/igb/regs_vf.h"

namespace vigia::vf::igbvf {
namespace {

std::string_view name_of(std::uint16_t id) { return mbx::name_of(static_cast<mbx::Id>(id)); }

}  // namespace

Mailbox::Mailbox(hw::Bar& bar, std::string device, Timing timing)
    : intel::Mailbox(Registers::of(bar, hw::igb::vf::V2PMAILBOX, hw::igb::vf::VMBMEM), &name_of, std::move(device),
                     timing) {}

Result<Done> Mailbox::set_all_multicast(bool on) {
  const mbx::Message m{mbx::word0(mbx::Id::set_promisc, on ? mbx::Promisc::multicast : 0)};
  auto reply = request(m, 1, on ? "frames of all multicast groups" : "frames of chosen multicast groups only");
  if (!reply) return reply.error();
  return Done{};
}

}  // namespace vigia::vf::igbvf
