// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/xdp/program.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#include <array>
#include <cerrno>
#include <cstddef>

namespace vigia::vf::xdp {
namespace {

// return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS), in the machine's instructions: so few that a
// compiler for them would be the larger thing.
std::array<bpf_insn, 6> code_for(int sockets) {
  const auto reg = [](unsigned number) { return static_cast<__u8>(number & 0xf); };
  std::array<bpf_insn, 6> code{};
  code[0].code = BPF_LDX | BPF_MEM | BPF_W;  // r2 = context->rx_queue_index
  code[0].dst_reg = reg(BPF_REG_2);
  code[0].src_reg = reg(BPF_REG_1);
  code[0].off = offsetof(xdp_md, rx_queue_index);
  code[1].code = BPF_LD | BPF_DW | BPF_IMM;  // r1 = the map; takes two places
  code[1].dst_reg = reg(BPF_REG_1);
  code[1].src_reg = reg(BPF_PSEUDO_MAP_FD);
  code[1].imm = sockets;
  code[3].code = BPF_ALU64 | BPF_MOV | BPF_K;  // r3 = what to do where there is no socket
  code[3].dst_reg = reg(BPF_REG_3);
  code[3].imm = XDP_PASS;
  code[4].code = BPF_JMP | BPF_CALL;
  code[4].imm = BPF_FUNC_redirect_map;
  code[5].code = BPF_JMP | BPF_EXIT;
  return code;
}

Error refusal(const std::string& what, int error) {
  const std::string text = os_error(what, error).text;
  switch (error) {
    case EPERM:
    case EACCES:
      return {std::errc::operation_not_permitted, text + "; it takes root, or CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW"};
    case EBUSY:
      return {std::errc::device_or_resource_busy,
              text + "; it has an XDP program already: ip link show, ip link set IF xdp off"};
    case EOPNOTSUPP:
      return {std::errc::operation_not_supported, text + "; its driver has no XDP of that kind, use mode=generic"};
    default:
      return os_error(what, error);
  }
}

}  // namespace

Result<Program> Program::attach(const std::string& spec, const Interface& interface, unsigned queues, Mode mode) {
  Fd sockets(::bpf_map_create(BPF_MAP_TYPE_XSKMAP, "vigia_sockets", sizeof(__u32), sizeof(__u32), queues, nullptr));
  if (!sockets) return refusal(fmt::format("device '{}': make a map of AF_XDP sockets", spec), errno);
  const auto code = code_for(sockets.get());
  Fd program(::bpf_prog_load(BPF_PROG_TYPE_XDP, "vigia_capture", "Apache-2.0", code.data(), code.size(), nullptr));
  if (!program) return refusal(fmt::format("device '{}': load an XDP program", spec), errno);
  LIBBPF_OPTS(bpf_link_create_opts, options);
  options.flags = mode == Mode::native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
  Fd link(::bpf_link_create(program.get(), interface.index(), BPF_XDP, &options));
  if (!link) {
    return refusal(fmt::format("device '{}': attach an XDP program to {} ({})", spec, interface.name(),
                               mode == Mode::native ? "native" : "generic"),
                   errno);
  }
  return Program(std::move(sockets), std::move(program), std::move(link));
}

Result<Done> Program::direct(unsigned queue, int socket) {
  if (::bpf_map_update_elem(sockets_.get(), &queue, &socket, BPF_ANY) == 0) return Done{};
  return refusal(fmt::format("direct frames of queue {} to a socket", queue), errno);
}

void Program::release(unsigned queue) noexcept { (void)::bpf_map_delete_elem(sockets_.get(), &queue); }

}  // namespace vigia::vf::xdp
