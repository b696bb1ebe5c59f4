// SPDX-License-Identifier: Apache-2.0
// What softnic does for each frame before it touches a descriptor: parse, select pools, hash, take from the wire.
// Items per second are frames per second on one core.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <vector>

#include "hw/ixgbe/bits.h"
#include "softnic/pool_select.h"
#include "softnic/rss.h"
#include "softnic/wire.h"
#include "softnic/wire_spec.h"

namespace vigia::softnic {
namespace {

// A full port: 128 addresses over 64 pools, 64 VLANs that every pool is in, one rule that mirrors pool 0 to pool 3.
FilterTables port() {
  FilterTables t;
  t.vt = t.replication = t.vlan_filter = t.loopback = t.fctrl_bam = t.default_pool_disabled = true;
  t.receive_enable = t.transmit_enable = t.aupe = t.bam = ~PoolMask{0};
  for (unsigned n = 0; n < 128; ++n) t.rar[n] = {true, 0x02 | std::uint64_t{n + 1} << 40, PoolMask{1} << n % 64};
  for (unsigned k = 0; k < 64; ++k) t.vlvf[k] = {true, static_cast<std::uint16_t>(k), ~PoolMask{0}};
  t.vfta.fill(~0u);
  t.mirror[0] = {.pool = true, .destination = 3, .sources = 1};
  t.index();
  return t;
}

std::vector<L2Key> frames(std::uint64_t (*destination)(unsigned), bool tagged) {
  std::vector<L2Key> keys(1024);
  for (unsigned i = 0; i < keys.size(); ++i) {
    keys[i].destination = destination(i);
    keys[i].source = 0x02 | std::uint64_t{1} << 40;
    keys[i].ethertype = 0x0800;
    keys[i].length = 60;
    keys[i].tagged = tagged;
    keys[i].tci = static_cast<std::uint16_t>(i % 64);
  }
  return keys;
}
// Scattered over the 128 addresses, so that neither caches nor branch predictors see one frame again and again.
std::uint64_t scattered(unsigned i) { return 0x02 | std::uint64_t{(i * 2654435761u >> 7) % 128 + 1} << 40; }
std::uint64_t to_pool_0(unsigned) { return 0x02 | std::uint64_t{1} << 40; }
std::uint64_t foreign(unsigned i) { return 0x02 | std::uint64_t{i} << 20; }
std::uint64_t broadcast(unsigned) { return 0xffff'ffff'ffff; }

void select_network(benchmark::State& state, std::uint64_t (*destination)(unsigned), bool tagged) {
  const FilterTables t = port();
  const auto keys = frames(destination, tagged);
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(select_from_network(t, keys[i++ % keys.size()]));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK_CAPTURE(select_network, unicast_hit_mirrored, &to_pool_0, false);
BENCHMARK_CAPTURE(select_network, unicast_hit_scattered, &scattered, false);
BENCHMARK_CAPTURE(select_network, unicast_hit_scattered_vlan, &scattered, true);
BENCHMARK_CAPTURE(select_network, foreign_dropped, &foreign, false);
BENCHMARK_CAPTURE(select_network, broadcast, &broadcast, false);

void select_local(benchmark::State& state) {
  FilterTables t = port();
  t.mac_antispoof = ~PoolMask{0};
  t.index();
  const auto keys = frames(&scattered, false);
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(select_from_pool(t, keys[i++ % keys.size()], 0));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(select_local);

void index_tables(benchmark::State& state) {
  FilterTables t = port();
  for (auto _ : state) {
    t.index();
    benchmark::DoNotOptimize(t);
  }
}
BENCHMARK(index_tables);

std::unique_ptr<Wire> wire_of(const char* spec) {
  auto wire = open_wire(spec);
  check(static_cast<bool>(wire));
  return std::move(*wire);
}

void parse_layer2(benchmark::State& state) {
  const auto wire = wire_of("gen:size=64");
  const FrameBytes frame = wire->next()->bytes;
  for (auto _ : state) benchmark::DoNotOptimize(parse_l2(frame));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(parse_layer2);

void parse_both(benchmark::State& state) {
  const auto wire = wire_of("gen:size=64");
  const FrameBytes frame = wire->next()->bytes;
  for (auto _ : state) benchmark::DoNotOptimize(parse_l3(frame, parse_l2(frame)));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(parse_both);

void toeplitz(benchmark::State& state) {
  std::array<std::uint8_t, 40> key;
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i * 37 + 11);
  const auto table = std::make_unique<Toeplitz>(key);
  std::vector<std::array<std::byte, 36>> inputs(256);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    for (std::size_t k = 0; k < 36; ++k) inputs[i][k] = static_cast<std::byte>(i * 131 + k * 17);
  }
  const auto bytes = static_cast<std::size_t>(state.range(0));
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(table->hash(std::span(inputs[i++ % inputs.size()]).first(bytes)));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(toeplitz)->Arg(8)->Arg(12)->Arg(32)->Arg(36);

void take_from_wire(benchmark::State& state, const char* spec) {
  const auto wire = wire_of(spec);
  for (auto _ : state) {
    const WireFrame* frame = wire->next();
    // What the device does at least: look at the header.
    benchmark::DoNotOptimize(parse_l2(frame->bytes));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK_CAPTURE(take_from_wire, gen_64, "gen:size=64,flows=4096");
BENCHMARK_CAPTURE(take_from_wire, gen_64_at_rate, "gen:size=64,flows=4096,rate=14.88mpps");
BENCHMARK_CAPTURE(take_from_wire, gen_64_trains, "gen:size=64,flows=4096,rate=5mpps,train=32");
BENCHMARK_CAPTURE(take_from_wire, gen_imix, "gen:size=imix,flows=4096");

// Everything above for one frame: taken, parsed, hashed, mirrored.
void whole_frame(benchmark::State& state) {
  const auto wire = wire_of("gen:size=64,flows=4096");
  const FilterTables t = port();
  std::array<std::uint8_t, 40> key{0x6d, 0x5a};
  const auto table = std::make_unique<Toeplitz>(key);
  for (auto _ : state) {
    const WireFrame* frame = wire->next();
    const L2Key l2 = parse_l2(frame->bytes);
    benchmark::DoNotOptimize(select_from_network(t, l2));
    benchmark::DoNotOptimize(rss_hash(*table, hw::ixgbe::Mrqc::udp_ipv4, parse_l3(frame->bytes, l2)));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(whole_frame);

}  // namespace
}  // namespace vigia::softnic

BENCHMARK_MAIN();
