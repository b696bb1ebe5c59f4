// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/xdp/program_code.h"

#include <cstddef>

#include "vfdriver/xdp/kernel_time.h"

namespace vigia::vf::xdp {
namespace {

constexpr int kKey = -4;  // on the stack
constexpr int kNote = sizeof(FrameNote);

// Instructions one after the other (bpf-instruction-set of the kernel), and jumps to what stands at the end.
class Code {
 public:
  void load32(unsigned to, unsigned from, std::size_t at) { add(BPF_LDX | BPF_MEM | BPF_W, to, from, at, 0); }
  void store32(unsigned to, int at, unsigned from) { add(BPF_STX | BPF_MEM | BPF_W, to, from, at, 0); }
  void copy(unsigned to, unsigned from) { add(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
  void set(unsigned to, int value) { add(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value); }
  void increase(unsigned what, int by) { add(BPF_ALU64 | BPF_ADD | BPF_K, what, 0, 0, by); }
  void shift_right(unsigned what, int by) { add(BPF_ALU64 | BPF_RSH | BPF_K, what, 0, 0, by); }
  // Adds to what lies there, whoever else does.
  void atomic_add64(unsigned to, unsigned by) { add(BPF_STX | BPF_ATOMIC | BPF_DW, to, by, 0, BPF_ADD); }
  void map(unsigned to, int fd) {
    add(BPF_LD | BPF_DW | BPF_IMM, to, BPF_PSEUDO_MAP_FD, 0, fd);
    add(0, 0, 0, 0, 0);
  }
  void call(int function) { add(BPF_JMP | BPF_CALL, 0, 0, 0, function); }
  // Jumps that land() brings to where it stands. The second compares two registers.
  std::size_t jump_if(int operation, unsigned what, int value) {
    add(BPF_JMP | operation | BPF_K, what, 0, 0, value);
    return code_.size() - 1;
  }
  std::size_t jump_if_than(int operation, unsigned what, unsigned other) {
    add(BPF_JMP | operation | BPF_X, what, other, 0, 0);
    return code_.size() - 1;
  }
  std::size_t jump() {
    add(BPF_JMP | BPF_JA, 0, 0, 0, 0);
    return code_.size() - 1;
  }
  void land(std::size_t jump) { code_[jump].off = static_cast<__s16>(code_.size() - jump - 1); }
  std::vector<bpf_insn> end() {
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    return std::move(code_);
  }

 private:
  template <class Offset>
  void add(int code, unsigned to, unsigned from, Offset at, int value) {
    bpf_insn instruction{};
    instruction.code = static_cast<__u8>(code);
    instruction.dst_reg = static_cast<__u8>(to & 0xf);
    instruction.src_reg = static_cast<__u8>(from & 0xf);
    instruction.off = static_cast<__s16>(at);
    instruction.imm = value;
    code_.push_back(instruction);
  }

  std::vector<bpf_insn> code_;
};

constexpr unsigned kContext = BPF_REG_6, kVerdict = BPF_REG_7;

// ++map[*key]
void count(Code& code, int map) {
  code.copy(BPF_REG_2, BPF_REG_10);
  code.increase(BPF_REG_2, kKey);
  code.map(BPF_REG_1, map);
  code.call(BPF_FUNC_map_lookup_elem);
  const auto none = code.jump_if(BPF_JEQ, BPF_REG_0, 0);
  code.set(BPF_REG_1, 1);
  code.atomic_add64(BPF_REG_0, BPF_REG_1);
  code.land(none);
}

void note(Code& code, int misses) {
  code.copy(BPF_REG_1, kContext);
  code.set(BPF_REG_2, -kNote);
  code.call(BPF_FUNC_xdp_adjust_meta);
  const auto refused = code.jump_if(BPF_JNE, BPF_REG_0, 0);
  code.call(BPF_FUNC_ktime_get_ns);
  code.shift_right(BPF_REG_0, kNoteShift);
  code.load32(BPF_REG_1, kContext, offsetof(xdp_md, data_meta));
  code.load32(BPF_REG_2, kContext, offsetof(xdp_md, data));
  code.copy(BPF_REG_3, BPF_REG_1);
  code.increase(BPF_REG_3, kNote);
  const auto short_of = code.jump_if_than(BPF_JGT, BPF_REG_3, BPF_REG_2);
  const auto apart = code.jump_if_than(BPF_JLT, BPF_REG_3, BPF_REG_2);  // the driver's own lies between
  code.store32(BPF_REG_1, 0, BPF_REG_0);
  const auto done = code.jump();
  for (const auto jump : {refused, short_of, apart}) code.land(jump);
  code.set(BPF_REG_1, 0);
  code.store32(BPF_REG_10, kKey, BPF_REG_1);
  count(code, misses);
  code.land(done);
}

}  // namespace

std::vector<bpf_insn> code_for(const ProgramMaps& maps, Work work) {
  Code code;
  code.copy(kContext, BPF_REG_1);
  // verdict = bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS); PASS where there is no socket
  code.load32(BPF_REG_2, kContext, offsetof(xdp_md, rx_queue_index));
  code.store32(BPF_REG_10, kKey, BPF_REG_2);
  code.map(BPF_REG_1, maps.sockets);
  code.set(BPF_REG_3, XDP_PASS);
  code.call(BPF_FUNC_redirect_map);
  code.copy(kVerdict, BPF_REG_0);
  const auto passed = code.jump_if(BPF_JNE, BPF_REG_0, XDP_REDIRECT);
  if (work != Work::none) count(code, maps.counts);
  if (work == Work::note) note(code, maps.misses);
  code.land(passed);
  code.copy(BPF_REG_0, kVerdict);
  return code.end();
}

}  // namespace vigia::vf::xdp
