// SPDX-License-Identifier: Apache-2.0
// On which CPUs the engines run, without being told (the wish of N, section 6): near the device, one physical core
// each, siblings left alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::vf {

// A physical core as this process may use it.
struct CpuCore {
  std::vector<unsigned> cpus;  // its hardware threads, rising; not empty
  bool near = true;            // to the device; true for all when the device has no place
  bool isolated = false;       // the kernel puts nobody else there
};

struct EngineCpus {
  std::vector<unsigned> cpus;  // one an engine, in the order of the queues; empty: engines are not pinned
  std::string why;             // one line for people
};

// Pure. taken: CPUs that engines of other captures have. Cores near the device come first, then isolated ones, then
// those without CPU 0, where the kernel has its own work. Engines are pinned only when each gets a core and one core,
// or a CPU of a core that no engine has, is left for everybody else; else the scheduler does better.
EngineCpus choose_cpus(const std::vector<CpuCore>& cores, unsigned engines, const std::vector<unsigned>& taken);

// PCI address of the function that is, or carries, what a device spec names (vf_device.h); empty: there is none.
std::string pci_address_of(std::string_view spec);

// The cores that this process is allowed to use. device: PCI address of the function, empty: no place.
Result<std::vector<CpuCore>> cores_for(std::string_view device);

// Says to the other captures of this machine which CPUs have an engine, until destroyed (or the process ends): locks on
// files in the run directory.
class CpuClaims {
 public:
  // Of the CPUs of `cores`, those that other processes have claimed. Without a run directory: none.
  static std::vector<unsigned> taken(const std::vector<CpuCore>& cores);
  // Claims them; one that somebody claimed meanwhile is not an error, two engines then share it.
  void claim(const std::vector<unsigned>& cpus);

 private:
  std::vector<Fd> locks_;
};

// What --cpus says: "auto" chooses, "none" leaves them to the scheduler, a list has one CPU for each engine.
struct CpuWish {
  bool choose = true;
  std::vector<unsigned> cpus;  // when !choose; empty: none
};
// An input error for anything else.
Result<CpuWish> parse_cpu_wish(std::string_view text);

// The calling thread runs on that CPU from now on.
Result<Done> pin_this_thread(unsigned cpu);

}  // namespace vigia::vf
