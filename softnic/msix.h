// SPDX-License-Identifier: Apache-2.0
// The MSI-X vectors of one function: eventfds of the client, with the throttle of EITR.
#pragma once

#include <cstdint>
#include <vector>

#include "hw/fd.h"

namespace vigia::softnic {

class Msix {
 public:
  explicit Msix(unsigned vectors) : vectors_(vectors) {}

  unsigned count() const { return static_cast<unsigned>(vectors_.size()); }
  // An empty Fd takes the eventfd away. A vector that was signalled before it had one fires now.
  void assign(unsigned vector, Fd eventfd);
  void forget_all();

  // Signals the vector, or remembers it while interval_ns since the last signal are not over. A vector that does not
  // exist is ignored: registers name it, and a guest writes those.
  void signal(unsigned vector, std::uint64_t now_ns, std::uint64_t interval_ns);
  // Fires what was held back and is due. Returns whether something still is held back.
  bool fire_due(std::uint64_t now_ns);

 private:
  struct Vector {
    Fd eventfd;
    std::uint64_t earliest_ns = 0;
    bool pending = false;
  };
  static void fire(Vector& vector);

  std::vector<Vector> vectors_;
};

}  // namespace vigia::softnic
