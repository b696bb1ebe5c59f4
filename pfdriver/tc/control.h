// SPDX-License-Identifier: Apache-2.0
// Linux's traffic control, as far as mirroring needs it: a filter that matches every frame of one direction of an
// interface and has one action, mirred, which sends a copy out of another (tc-mirred(8), linux/pkt_cls.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hw/result.h"

namespace vigia::pf {

// From inside the host: ingress is what comes in by the interface, so what a guest behind it sends.
enum class Hook { ingress, egress };

// How the filter is told. software: every kernel has it. hardware: for representors; the NIC does the copying, or the
// kernel refuses, for the software path of a representor sees but a few frames.
enum class Matcher { software, hardware };

struct MirrorFilter {
  std::string from;  // interface
  Hook hook = Hook::ingress;
  std::string to;              // interface that the copies leave by
  std::uint16_t priority = 0;  // one filter each
  unsigned vf = 0, agent = 0;  // whose interfaces from and to are
  friend bool operator==(const MirrorFilter&, const MirrorFilter&) = default;

  std::string title() const;  // "t0 ingress to a0"
};

// One that is there, made by us (its action carries our cookie).
struct FoundFilter {
  std::uint16_t priority = 0;
  int to_index = 0;                      // 0: the interface is gone
  std::uint64_t frames = 0, failed = 0;  // copies; those that could not be sent
};

// One thread.
class TrafficControl {
 public:
  virtual ~TrafficControl() = default;
  // Index of an interface; 0: there is none of that name.
  virtual int index_of(const std::string& interface) = 0;
  virtual std::vector<std::string> interfaces() = 0;
  // The qdisc that filters hang on. True: it was not there and is now. An `ingress` qdisc, which has one hook only, is
  // an error that says so.
  virtual Result<bool> need_hooks(const std::string& interface) = 0;
  virtual Result<Done> drop_hooks(const std::string& interface) = 0;
  virtual Result<Done> add(const MirrorFilter& filter, Matcher matcher) = 0;
  virtual Result<Done> remove(const std::string& interface, Hook hook, std::uint16_t priority) = 0;
  virtual Result<std::vector<FoundFilter>> ours(const std::string& interface, Hook hook) = 0;
};

// The kernel's, in the network namespace of the calling thread.
Result<std::unique_ptr<TrafficControl>> open_traffic_control();

}  // namespace vigia::pf
