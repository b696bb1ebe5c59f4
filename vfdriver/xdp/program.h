// SPDX-License-Identifier: Apache-2.0
// The XDP program that hands an interface's frames to AF_XDP sockets. It is attached by a link that the kernel undoes
// when this process ends, however it ends.
#pragma once

#include <linux/types.h>

#include <string>

#include "hw/fd.h"
#include "hw/result.h"
#include "vfdriver/interface.h"

namespace vigia::vf::xdp {

enum class Mode {
  native,  // in the driver, before the kernel makes a packet of the frame
  generic  // after that: any interface
};

class Program {
 public:
  // Loads it with room for sockets of that many queues and attaches it. Frames of queues without a socket go to the
  // host as before. Takes CAP_BPF (CAP_SYS_ADMIN on older kernels), CAP_NET_ADMIN, CAP_NET_RAW.
  static Result<Program> attach(const std::string& spec, const Interface& interface, unsigned queues, Mode mode);

  // From now on that queue's frames go to the socket; the second: to the host again.
  Result<Done> direct(unsigned queue, int socket);
  void release(unsigned queue) noexcept;

 private:
  Program(Fd sockets, Fd code, Fd link)
      : sockets_(std::move(sockets)), code_(std::move(code)), link_(std::move(link)) {}
  Fd sockets_, code_, link_;
};

}  // namespace vigia::vf::xdp
