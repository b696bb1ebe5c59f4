// SPDX-License-Identifier: Apache-2.0
#include "softnic/msix.h"

#include <utility>

namespace vigia::softnic {

void Msix::assign(unsigned vector, Fd eventfd) {
  if (vector >= vectors_.size()) return;
  Vector& v = vectors_[vector];
  v.eventfd = std::move(eventfd);
  if (v.eventfd && v.pending) fire(v);
}

void Msix::forget_all() {
  for (Vector& v : vectors_) {
    v.eventfd = Fd();
    v.earliest_ns = 0;
    v.pending = false;
  }
}

void Msix::signal(unsigned vector, std::uint64_t now_ns, std::uint64_t interval_ns) {
  if (vector >= vectors_.size()) return;
  Vector& v = vectors_[vector];
  if (!v.eventfd || now_ns < v.earliest_ns) {
    v.pending = true;
    return;
  }
  fire(v);
  v.earliest_ns = now_ns + interval_ns;
}

bool Msix::fire_due(std::uint64_t now_ns) {
  bool held = false;
  for (Vector& v : vectors_) {
    if (!v.pending || !v.eventfd) continue;
    if (now_ns >= v.earliest_ns) {
      fire(v);
    } else {
      held = true;
    }
  }
  return held;
}

void Msix::fire(Vector& v) {
  v.pending = false;
  const std::uint64_t one = 1;
  // A full counter (EAGAIN) means that the client has an interrupt waiting already: nothing is lost.
  [[maybe_unused]] const auto written = ::write(v.eventfd.get(), &one, sizeof one);
}

}  // namespace vigia::softnic
