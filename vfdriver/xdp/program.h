// SPDX-License-Identifier: Apache-2.0
// The XDP program that hands an interface's frames to AF_XDP sockets. It is attached by a link that the kernel undoes
// when this process ends, however it ends.
#pragma once

#include <linux/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "hw/fd.h"
#include "hw/result.h"
#include "vfdriver/interface.h"
#include "vfdriver/xdp/program_code.h"

namespace vigia::vf::xdp {

enum class Mode {
  native,  // in the driver, before the kernel makes a packet of the frame
  generic  // after that: any interface
};

class Program {
 public:
  // Loads it with room for sockets of that many queues and attaches it. Frames of queues without a socket go to the
  // host as before. Takes CAP_BPF (CAP_SYS_ADMIN on older kernels), CAP_NET_ADMIN, CAP_NET_RAW. work: at most that
  // much; the kernel may take only less.
  static Result<Program> attach(const std::string& spec, const Interface& interface, unsigned queues, Mode mode,
                                Work work);

  // From now on that queue's frames go to the socket; the second: to the host again.
  Result<Done> direct(unsigned queue, int socket);
  void release(unsigned queue) noexcept;

  Work work() const noexcept { return work_; }
  // Any thread. Frames of the queue that were directed to a socket, whether it had room or not. Empty: not counted.
  std::optional<std::uint64_t> directed(unsigned queue) const noexcept;
  // Where the program counts the frames that got no note, before anybody gets them; null: it writes none. Lives as long
  // as the program.
  const std::uint64_t* misses() const noexcept { return misses_.get(); }

 private:
  struct Unmap {
    void operator()(const std::uint64_t* page) const noexcept;
  };
  using Page = std::unique_ptr<const std::uint64_t, Unmap>;

  Program(Fd sockets, Fd counts, Fd code, Fd link, Work work, Page misses)
      : sockets_(std::move(sockets)),
        counts_(std::move(counts)),
        code_(std::move(code)),
        link_(std::move(link)),
        work_(work),
        misses_(std::move(misses)) {}
  Fd sockets_, counts_, code_, link_;
  Work work_;
  Page misses_;
};

}  // namespace vigia::vf::xdp
