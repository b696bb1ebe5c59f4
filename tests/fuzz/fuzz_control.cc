// SPDX-License-Identifier: Apache-2.0
// Lines on the control socket from a stranger: each gets one line of JSON back.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "hw/log.h"
#include "pfdriver/control.h"
#include "pfdriver/manager.h"
#include "tests/pfdriver/fake_nic.h"

using namespace vigia;

namespace {

pf::Manager& manager() {
  static pf::test::FakeNic nic;
  static std::unique_ptr<pf::Manager> made = [] {
    log::set_level(log::Level::error);
    auto started = pf::Manager::start(nic, *pf::parse_config("pf: {vfs: 4}", "pf.yaml"), {}, true);
    if (!started) std::abort();
    return std::move(*started);
  }();
  return *made;
}

}  // namespace

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  constexpr std::string_view kSeeds[] = {
      "{\"command\":\"apply\",\"config\":\"pf: {vfs: 4, taps: [{name: t, from: [0], to: 3}]}\",\"file\":\"a.yaml\"}",
      "{\"command\":\"show\"}", "{\"command\":\"revert\"}", "{\"command\":\"status\"}"};
  std::vector<std::vector<std::uint8_t>> out;
  for (const std::string_view seed : kSeeds) out.emplace_back(seed.begin(), seed.end());
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // SAFETY: bytes as characters.
  const std::string reply = pf::answer_control(manager(), {reinterpret_cast<const char*>(data), size});
  if (reply.find('\n') != std::string::npos) std::abort();
  const auto json = nlohmann::json::parse(reply, nullptr, false);
  if (!json.is_object() || !json.contains("ok")) std::abort();
  return 0;
}
