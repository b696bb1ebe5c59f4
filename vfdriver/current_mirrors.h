// SPDX-License-Identifier: Apache-2.0
// The mirror rules that hold now: engines read them while the control thread brings newer ones.
#pragma once

#include <atomic>
#include <deque>
#include <utility>

#include "vfdriver/mirror_copies.h"

namespace vigia::vf {

class CurrentMirrors {
 public:
  explicit CurrentMirrors(MirrorRules rules) { set(std::move(rules)); }

  // One thread. The rules before stay where they are, since an engine may be reading them: some hundred bytes for each
  // change of a tap.
  void set(MirrorRules rules) {
    all_.push_back(std::move(rules));
    now_.store(&all_.back(), std::memory_order_release);
  }
  // Any thread; they stay as they are for the life of *this.
  const MirrorRules& now() const noexcept {
    // Acquire: pairs with the release in set(); the rules are whole.
    return *now_.load(std::memory_order_acquire);
  }

 private:
  std::deque<MirrorRules> all_;  // does not move what it holds
  std::atomic<const MirrorRules*> now_ = nullptr;
};

}  // namespace vigia::vf
