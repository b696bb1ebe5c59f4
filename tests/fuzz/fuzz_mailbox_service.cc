// SPDX-License-Identifier: Apache-2.0
// VFs that send whatever they like, reset and hold locks at any moment, against the manager on a register-only NIC.
// After each event the assigned address of VF 0 leads to VF 0 alone, no address leads to two VFs, and the mirror rule
// and its VLAN are as planned.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "hw/log.h"
#include "pfdriver/manager.h"
#include "tests/pfdriver/fake_nic.h"

using namespace vigia;
namespace reg = hw::ixgbe::pf;

namespace {

constexpr unsigned kVfs = 4;
constexpr std::uint32_t kRule = 0x309;  // pool and VLAN, to VF 3

struct Rig {
  pf::test::FakeNic nic;
  std::unique_ptr<pf::Manager> manager;

  Rig() {
    log::set_level(log::Level::error);
    const auto config = pf::parse_config(
        "pf:\n  vfs: 4\n  vf:\n    - {index: 0, mac: \"02:00:00:00:00:01\", vlan: 100}\n    - {index: 1, trust: true}\n"
        "  taps:\n    - {name: t, from: [0], to: 3, direction: both}\n",
        "pf.yaml");
    auto started = pf::Manager::start(nic, *config, {}, true);
    if (!started) std::abort();
    manager = std::move(*started);
  }

  void check() {
    if (nic.get(reg::PFMRCTL.at(0)) != kRule || nic.get(reg::PFMRVM.at(0)) != 1) std::abort();
    const std::uint32_t entry = nic.get(reg::PFMRVLAN.at(0));
    for (std::uint32_t k = 0; k < 32; ++k) {
      if ((entry >> k & 1) == 0) continue;
      if ((nic.get(reg::PFVLVF.at(k)) & 0xfff) != 100 || nic.get(reg::PFVLVFB.at(2 * k)) != 1) std::abort();
    }
    if (entry == 0 || nic.get(reg::RAL.at(127)) != 2 || nic.get(reg::MPSAR.at(254)) != 1) std::abort();
    for (std::uint32_t a = 0; a < reg::kRars; ++a) {
      if ((nic.get(reg::RAH.at(a)) & hw::ixgbe::Rah::av) == 0) continue;
      for (std::uint32_t b = 0; b < a; ++b) {
        if (nic.get(reg::RAH.at(a)) == nic.get(reg::RAH.at(b)) && nic.get(reg::RAL.at(a)) == nic.get(reg::RAL.at(b)) &&
            nic.get(reg::MPSAR.at(2 * a)) != nic.get(reg::MPSAR.at(2 * b))) {
          std::abort();
        }
      }
    }
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Rig rig;  // goes on from input to input: bringing it up costs 11 ms of datasheet waits
  for (std::size_t i = 0; i + 14 <= size; i += 14) {
    const std::uint8_t* step = data + i;
    const unsigned vf = step[0] % kVfs;
    switch (step[0] / kVfs % 8) {
      case 0:
        rig.nic.vf_resets(vf);
        break;
      case 1:
        rig.nic.vf_acks(vf);
        break;
      case 2:
        rig.nic.vf_takes_lock(vf, (step[1] & 1) != 0);
        break;
      case 3:
        rig.nic.vf_sends(vf, {1});
        break;
      default: {
        hw::ixgbe::mbx::Message m{};
        m[0] = step[1] % 0x14u | std::uint32_t{step[2]} << 16 | (step[3] == 0xff ? 0xc000'0000 : 0);
        for (unsigned w = 1; w < m.size(); ++w)
          m[w] = step[4 + w % 2] | std::uint32_t{step[6 + w % 8]} << (8 * (w % 4));
        rig.nic.vf_sends(vf, m);
      }
    }
    rig.manager->service();
    if ((step[13] & 1) != 0 && rig.nic.vf_has_message(vf)) (void)rig.nic.vf_reads(vf);
  }
  rig.check();
  return 0;
}
