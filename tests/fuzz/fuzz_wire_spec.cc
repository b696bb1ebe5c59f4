// SPDX-License-Identifier: Apache-2.0
// Any bytes as --wire: an input error that repeats them, or a spec within its documented limits whose wire runs.
#include <cstdlib>
#include <string_view>
#include <vector>

#include "softnic/wire_gen.h"
#include "softnic/wire_spec.h"

namespace {

using namespace vigia::softnic;

void expect(bool ok) {
  if (!ok) std::abort();
}

void check_rate(const Rate& rate) {
  expect(rate.value >= 1e-3 && rate.value <= 1e12);
  const auto again = parse_rate(to_text(rate));
  // to_text rounds to six digits, which can carry the lowest value below the limit.
  if (again) expect(again->kind == rate.kind);
}

void check_gen(const GenSpec& spec) {
  expect(spec.size >= 64 && spec.size <= 16'000 && spec.flows >= 1 && spec.train >= 1);
  expect(!spec.vlan || *spec.vlan < 4095);
  expect(spec.rate.kind != Rate::Kind::original && !spec.source.multicast());
  const auto wire = make_gen_wire(spec);
  std::uint64_t last = 0;
  for (std::uint64_t n = 0; n < 40; ++n) {
    const WireFrame* f = wire->next();
    expect((f == nullptr) == (spec.count != 0 && n >= spec.count));
    if (f == nullptr) break;
    expect(f->departure_ns >= last);
    last = f->departure_ns;
    const auto stamp = read_gen_stamp(f->bytes);
    expect(stamp && stamp->sequence == n);
  }
}

}  // namespace

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (const std::string_view spec :
       {"null", "pcap:x.pcap,rate=2.5x,loop=3", "gen:size=imix,rate=10gbps",
        "gen:size=64,flows=4096,count=10,rate=1mpps,train=4,dst=02:00:00:00:00:01,src=02:00:00:00:00:02,vlan=5"}) {
    seeds.emplace_back(spec.begin(), spec.end());
  }
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto spec = parse_wire_spec(text);
  if (!spec) {
    expect(spec.error().exit_status() == 2 && spec.error().text.find(text) != std::string::npos);
    return 0;
  }
  check_rate(spec->pcap.rate);
  check_rate(spec->gen.rate);
  expect(spec->pcap.loop >= 1);
  if (spec->kind == WireSpec::Kind::gen) check_gen(spec->gen);
  return 0;
}
