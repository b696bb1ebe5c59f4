// SPDX-License-Identifier: Apache-2.0
// The JSON texts that others write for vigia-capture serve: its configuration, and the requests to pull. What is
// accepted keeps every bound; what is refused has a sentence.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "vfdriver/pull.h"
#include "vfdriver/serve.h"

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (const std::string_view text :
       {R"({"role":"probe","name":"p1","mac":"02:00:00:00:00:03","port_vlan":7,"mtu":9000,"hugepages":16,
            "storage":{"mode":"virtio"},"capture":{"ring":"8M","snaplen":96,"policy":"lossless","max_file":4194304,
            "quota":"8M","rotate":"1m"}})",
        R"({"name":"p1"})", R"({"command":"pull","last_ns":10000000000,"filter":"tcp","max_bytes":5,"snaplen":64})",
        R"({"command":"pull","from_ns":1,"to_ns":2})", R"({"command":"pull","follow":true})"}) {
    seeds.emplace_back(text.begin(), text.end());
  }
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vigia;
  // SAFETY: bytes as characters.
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto config = vf::parse_serve_config(text, "fuzz.json"); !config) {
    check(!config.error().text.empty() && config.error().exit_status() == 2);
  } else {
    check(static_cast<bool>(vf::validate(config->ring)) && !config->name.empty() && config->snaplen > 0);
    check(config->quota == 0 || config->quota >= 2 * config->ring.segment_bytes);
  }
  if (const auto pull = vf::parse_pull(text); !pull) {
    check(!pull.error().text.empty() && pull.error().exit_status() == 2);
  } else {
    check(pull->snaplen <= vf::kMaxCaptured && pull->filter.size() <= 4096);
    check(!pull->from_ns || !pull->to_ns || *pull->from_ns < *pull->to_ns);
  }
  return 0;
}
