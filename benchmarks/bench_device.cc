// SPDX-License-Identifier: Apache-2.0
// Frames through the whole device into rings in memory, one thread: the generator, selection, RSS, copies, write-backs,
// accounts and a reader that recycles descriptors. Items are frames of 60 bytes from the wire.
#include <benchmark/benchmark.h>

#include "tests/softnic/device_kit.h"

namespace vigia::softnic {
namespace {

// copies: pools that get each frame. 1: the tenant; 2: an agent mirrors the tenant by VPME as well.
void wire_to_rings(benchmark::State& state) {
  const auto copies = static_cast<unsigned>(state.range(0));
  auto wire = open_wire("gen:size=64,flows=4096");
  if (!wire) return state.SkipWithError(wire.error().text.c_str());
  DeviceOptions options;
  options.vfs = 4;
  kit::Lab lab(options, std::move(*wire));
  lab.bring_up();
  // The generator's destination belongs to VF 0.
  auto sample = open_wire("gen:size=64,count=1");
  const hw::Mac to = hw::Mac::unpack(parse_l2((*sample)->next()->bytes).destination);
  lab.set_rar(1, to, 1);
  if (copies == 2) lab.mirror(0, hw::ixgbe::Mrctl::vpme, 3, 1);
  constexpr std::uint32_t kEntries = 2048;
  kit::RxRing tenant(lab.vf(0), 0, kEntries), agent(lab.vf(3), 0, kEntries);
  tenant.give(kEntries - 1);
  agent.give(kEntries - 1);
  std::uint64_t taken = 0, mirrored = 0;
  for (auto _ : state) {
    lab.now += 1000;
    lab.device->run_once(lab.now);
    taken += tenant.recycle(lab.device->chip().pages[0]);
    if (copies == 2) mirrored += agent.recycle(lab.device->chip().pages[3]);
  }
  if (copies == 2 && mirrored + 2 * kEntries < taken) state.SkipWithError("the mirror lost frames");
  state.SetItemsProcessed(static_cast<std::int64_t>(taken));
}

BENCHMARK(wire_to_rings)->Arg(1)->Arg(2);

}  // namespace
}  // namespace vigia::softnic

BENCHMARK_MAIN();
