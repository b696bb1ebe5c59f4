// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/port_change.h"

#include <gtest/gtest.h>

namespace vigia::orch {
namespace {

// What a probe with these further lines wants to be shown of a port with four VFs.
pf::Tap tap_of_probe(const std::string& lines) {
  const auto spec = parse_vm("vm:\n  name: p1\n  network: {pf: \"0000:3b:00.0\"}\n" + lines, "vm.yaml");
  EXPECT_TRUE(spec) << spec.error().text;
  Placement placement;
  placement.vf = 2;
  PortWishes port;
  port.vfs = 4;
  const auto change = port_change(*spec, placement, port, {});
  EXPECT_TRUE(change) << change.error().text;
  EXPECT_EQ(change->tap.taps.size(), 1u);
  return change->tap.taps.at(0);
}

TEST(PortChange, AProbeIsShownThePortInTheDirectionThatItNames) {
  const struct {
    const char* lines;
    pf::Direction direction;
  } rows[] = {{"", pf::Direction::both},
              {"  tap: {direction: rx}\n", pf::Direction::rx},
              {"  tap: {direction: tx}\n", pf::Direction::tx},
              {"  tap: {direction: both}\n", pf::Direction::both}};
  for (const auto& row : rows) {
    const pf::Tap tap = tap_of_probe(row.lines);
    EXPECT_TRUE(tap.port) << row.lines;
    EXPECT_TRUE(tap.allow_port_scope) << row.lines;
    EXPECT_EQ(tap.direction, row.direction) << row.lines;
    EXPECT_EQ(tap.to, 2u) << row.lines;
  }
}

}  // namespace
}  // namespace vigia::orch
