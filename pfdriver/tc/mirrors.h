// SPDX-License-Identifier: Apache-2.0
// A set of mirrors kept on interfaces: made, read back, looked after, taken away.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "pfdriver/config.h"
#include "pfdriver/show.h"
#include "pfdriver/tc/control.h"

namespace vigia::pf {

struct TcPlan {
  std::vector<MirrorFilter> filters;
  std::vector<std::string> scopes, refusals, warnings;
};

// interface_of: by VF; empty: it has none. Pure.
TcPlan plan_mirrors(const PfConfig& config, const std::vector<std::string>& interface_of);

// One thread. control is not owned.
class TcMirrors {
 public:
  TcMirrors(TrafficControl& control, Matcher matcher) : control_(&control), matcher_(matcher) {}

  // Makes just these, beside whatever an administrator has; reads back. On an error what was made has been taken back.
  Result<Done> make(const std::vector<MirrorFilter>& filters);
  const std::vector<MirrorFilter>& filters() const { return filters_; }
  // What make() would add and remove, in words.
  struct Difference {
    std::vector<MirrorFilter> add, remove;
  };
  Difference difference(const std::vector<MirrorFilter>& filters) const;

  struct Look {
    std::vector<MirrorFilter> again;    // an interface had gone and come back: made anew
    std::vector<MirrorFilter> waiting;  // an interface is not there
    std::vector<MirrorFilter> removed;  // by an administrator, who is not fought
  };
  Look keep();

  // Copies sent, and those that could not be, by filter.
  std::vector<FoundFilter> counters() const;
  // Those that the kernel has at this moment.
  std::vector<PortMirror> in_force() const;

 private:
  struct Made {
    MirrorFilter filter;
    int from_index, to_index;
  };
  Result<Done> add(const MirrorFilter& filter);
  void remove(const MirrorFilter& filter);
  TrafficControl* control_;
  Matcher matcher_;
  std::vector<MirrorFilter> filters_;
  std::map<std::uint16_t, Made> made_;  // by priority
  std::map<std::string, int> hooks_;    // interfaces that got clsact from us, with their indexes
};

// Removes every mirror that carries our cookie, on any interface: what a killed vigia-pf left. Sentences.
Result<std::vector<std::string>> remove_all_mirrors(TrafficControl& control);

}  // namespace vigia::pf
