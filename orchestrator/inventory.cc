// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/inventory.h"

#include <algorithm>

namespace vigia::orch {
namespace {

template <class T, class Good>
const T* find(const std::vector<T>& list, Good good) {
  const auto at = std::find_if(list.begin(), list.end(), good);
  return at == list.end() ? nullptr : &*at;
}

}  // namespace

const NumaNode* Inventory::node(unsigned id) const {
  return find(nodes, [&](const NumaNode& n) { return n.id == id; });
}
const Cpu* Inventory::cpu(unsigned id) const {
  return find(cpus, [&](const Cpu& c) { return c.id == id; });
}
const NetDevice* Inventory::nic(std::string_view name) const {
  if (name.empty()) return nullptr;
  return find(nics, [&](const NetDevice& n) { return n.pci == name || n.netdev == name; });
}
const SoftNic* Inventory::softnic(std::string_view dir) const {
  return find(softnics, [&](const SoftNic& s) { return s.dir == dir; });
}

}  // namespace vigia::orch
