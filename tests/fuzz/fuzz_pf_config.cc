// SPDX-License-Identifier: Apache-2.0
// pf.yaml from a stranger: parse, validate, plan. A config that is accepted must be plannable and its plan must agree
// with what is decoded from its own image.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "pfdriver/plan.h"
#include "pfdriver/show.h"

using namespace vigia::pf;

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  constexpr std::string_view kSeeds[] = {
      "pf:\n  vfs: 4\n  mtu: 1500\n  vf:\n    - {index: 0, mac: \"02:00:00:00:00:01\", vlan: 100, name: web}\n"
      "  taps:\n    - {name: t, from: [0, 1], to: 3, direction: both, allow_port_scope: true}\n",
      "pf: {vfs: 63, default_pool: pf, vlan_filter: on, loopback: true, taps: [{name: p, port: true, to: 3}]}\n"};
  std::vector<std::vector<std::uint8_t>> out;
  for (const std::string_view seed : kSeeds) out.emplace_back(seed.begin(), seed.end());
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // SAFETY: bytes as characters.
  const auto config = parse_config({reinterpret_cast<const char*>(data), size}, "pf.yaml");
  if (!config) return 0;
  const Capabilities& nic = capabilities_82599();
  const Plan plan = make_plan(nic, *config, Current{});
  (void)plan_text(plan);
  (void)plan_json(plan);
  if (!plan.applicable()) return 0;
  Image image;
  for (const Change& change : plan.changes) image.at(change.cell.field, change.cell.index) = change.after;
  if (!difference(image, desired_image(nic, *config, {}, plan_taps(nic, *config, {}), image).image).empty())
    std::abort();
  if (decode(image, nic, *config).scopes != plan.scopes) std::abort();
  return 0;
}
