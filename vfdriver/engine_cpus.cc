// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/engine_cpus.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <hwloc.h>
#include <pthread.h>
#include <sched.h>
#include <sys/file.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include "hw/cpu_list.h"
#include "vfdriver/run_dir.h"

namespace vigia::vf {
namespace {

bool contains(const std::vector<unsigned>& list, unsigned value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

struct TopologyEnd {
  void operator()(hwloc_topology* topology) const noexcept { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, TopologyEnd>;

Result<Topology> load_topology(bool devices) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return os_error("ask hwloc for the CPUs");
  Topology topology(raw);
  if (devices) hwloc_topology_set_io_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
  hwloc_topology_set_flags(raw, HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM | HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING);
  if (hwloc_topology_load(raw) != 0) return os_error("ask hwloc for the CPUs");
  return topology;
}

// CPUs next to the device; null: it has no place, all are equal. Owned by the topology.
hwloc_const_cpuset_t local_cpus(hwloc_topology_t topology, std::string_view device) {
  if (device.empty()) return nullptr;
  const hwloc_obj_t pci = hwloc_get_pcidev_by_busidstring(topology, std::string(device).c_str());
  const hwloc_obj_t place = pci ? hwloc_get_non_io_ancestor_obj(topology, pci) : nullptr;
  return place ? place->cpuset : nullptr;
}

std::vector<unsigned> isolated_cpus() {
  std::ifstream file("/sys/devices/system/cpu/isolated");
  std::string line;
  std::getline(file, line);
  return hw::parse_cpu_list(line).value_or(std::vector<unsigned>{});
}

std::string claim_path(unsigned cpu) { return (run_dir() / fmt::format("cpu{}.lock", cpu)).string(); }

}  // namespace

EngineCpus choose_cpus(const std::vector<CpuCore>& cores, unsigned engines, const std::vector<unsigned>& taken) {
  std::vector<const CpuCore*> order;
  unsigned busy = 0;
  for (const CpuCore& core : cores) {
    const bool used = std::any_of(core.cpus.begin(), core.cpus.end(), [&](unsigned c) { return contains(taken, c); });
    busy += used ? 1 : 0;
    if (!used) order.push_back(&core);
  }
  const auto rank = [](const CpuCore* c) {
    return (c->near ? 0 : 4) + (c->isolated ? 0 : 2) + (contains(c->cpus, 0) ? 1 : 0);
  };
  std::stable_sort(order.begin(), order.end(), [&](auto* a, auto* b) { return rank(a) < rank(b); });
  // Somebody has to read the ring and answer: one core more than engines.
  if (order.size() < engines + 1u) {
    return {{},
            fmt::format("engines are not pinned: {} engine(s) and their readers want {} cores, {} of {} are free",
                        engines, engines + 1, order.size(), order.size() + busy)};
  }
  EngineCpus out;
  bool all_near = true, all_isolated = true;
  for (unsigned i = 0; i < engines; ++i) {
    out.cpus.push_back(order[i]->cpus.front());
    all_near = all_near && order[i]->near;
    all_isolated = all_isolated && order[i]->isolated;
  }
  out.why = fmt::format("engines on CPU {}: a physical core each{}{}", fmt::join(out.cpus, ","),
                        all_near ? "" : ", not all next to the device (no core is left there)",
                        all_isolated ? ", isolated from other work" : "");
  return out;
}

std::string pci_address_of(std::string_view spec) {
  const auto colon = spec.find(':');
  if (colon == spec.npos) return {};
  const std::string_view scheme = spec.substr(0, colon), rest = spec.substr(colon + 1);
  if (scheme == "vfio" || scheme == "uio") return std::string(rest);
  if (scheme != "packet" && scheme != "xdp") return {};
  const std::string interface(rest.substr(0, rest.find_first_of("@,")));
  std::error_code none;
  // Of an interface that no PCI function carries this is another name, which hwloc does not know.
  return std::filesystem::read_symlink("/sys/class/net/" + interface + "/device", none).filename();
}

Result<std::vector<CpuCore>> cores_for(std::string_view device) {
  auto topology = load_topology(!device.empty());
  if (!topology) return topology.error();
  const hwloc_const_cpuset_t near = local_cpus(topology->get(), device);
  const std::vector<unsigned> isolated = isolated_cpus();
  std::vector<CpuCore> cores;
  const int count = hwloc_get_nbobjs_by_type(topology->get(), HWLOC_OBJ_CORE);
  for (int i = 0; i < count; ++i) {
    const hwloc_obj_t core = hwloc_get_obj_by_type(topology->get(), HWLOC_OBJ_CORE, static_cast<unsigned>(i));
    CpuCore out;
    unsigned cpu = 0;
    hwloc_bitmap_foreach_begin(cpu, core->cpuset) out.cpus.push_back(cpu);
    hwloc_bitmap_foreach_end();
    if (out.cpus.empty()) continue;
    out.near = !near || hwloc_bitmap_intersects(near, core->cpuset) != 0;
    out.isolated = std::all_of(out.cpus.begin(), out.cpus.end(), [&](unsigned c) { return contains(isolated, c); });
    cores.push_back(std::move(out));
  }
  if (cores.empty()) return work_error("ask hwloc for the CPUs: it knows no core of this machine; give --cpus");
  return cores;
}

std::vector<unsigned> CpuClaims::taken(const std::vector<CpuCore>& cores) {
  std::vector<unsigned> out;
  for (const CpuCore& core : cores) {
    for (const unsigned cpu : core.cpus) {
      const Fd file(::open(claim_path(cpu).c_str(), O_RDONLY | O_CLOEXEC));
      if (file && ::flock(file.get(), LOCK_SH | LOCK_NB) != 0) out.push_back(cpu);
    }
  }
  return out;
}

void CpuClaims::claim(const std::vector<unsigned>& cpus) {
  for (const unsigned cpu : cpus) {
    Fd file(::open(claim_path(cpu).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (file && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0) locks_.push_back(std::move(file));
  }
}

Result<CpuWish> parse_cpu_wish(std::string_view text) {
  if (text == "auto") return CpuWish{};
  if (text == "none") return CpuWish{false, {}};
  // A list here is an assignment, in the order of the queues: "3,1" is not "1,3".
  CpuWish wish{false, {}};
  for (std::string_view rest = text;;) {
    const auto comma = rest.find(',');
    const auto part = hw::parse_cpu_list(rest.substr(0, comma));
    if (!part || part->empty()) {
      return input_error(fmt::format("CPUs '{}': use auto, none, or a list like 2,3 or 4-7", text));
    }
    wish.cpus.insert(wish.cpus.end(), part->begin(), part->end());
    if (comma == std::string_view::npos) return wish;
    rest.remove_prefix(comma + 1);
  }
}

Result<Done> pin_this_thread(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (const int failed = ::pthread_setaffinity_np(::pthread_self(), sizeof(set), &set); failed != 0) {
    return os_error(fmt::format("run on CPU {}", cpu), failed);
  }
  return Done{};
}

}  // namespace vigia::vf
