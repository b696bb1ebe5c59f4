// SPDX-License-Identifier: Apache-2.0
#include "softnic/wire.h"

#include "softnic/wire_gen.h"
#include "softnic/wire_pcap.h"
#include "softnic/wire_spec.h"
#include "softnic/wire_tap.h"

namespace vigia::softnic {
namespace {

// A cable that nobody sends on.
class NullWire final : public Wire {
 public:
  const WireFrame* next() noexcept override { return nullptr; }
  const WireCounts& counts() const noexcept override { return counts_; }
  const Rate& rate() const noexcept override { return rate_; }
  std::uint64_t total_frames() const noexcept override { return 0; }
  std::string describe() const override { return "null"; }

 private:
  WireCounts counts_;
  Rate rate_;
};

}  // namespace

Result<std::unique_ptr<Wire>> open_wire(std::string_view spec) {
  auto parsed = parse_wire_spec(spec);
  if (!parsed) return parsed.error();
  if (parsed->kind == WireSpec::Kind::pcap) return open_pcap_wire(parsed->pcap, half_of_available_memory());
  if (parsed->kind == WireSpec::Kind::gen) return make_gen_wire(parsed->gen);
  if (parsed->kind == WireSpec::Kind::tap) return open_tap_wire(parsed->tap);
  return std::unique_ptr<Wire>(std::make_unique<NullWire>());
}

}  // namespace vigia::softnic
