// SPDX-License-Identifier: Apache-2.0
// A Device in this process, driven by bytes: register writes, descriptors, doorbells, mapping and unmapping from two
// VFs and the PF. It must not crash, and its accounts must balance after each round.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "hw/log.h"
#include "tests/softnic/device_accounts.h"
#include "tests/softnic/device_kit.h"

namespace vigia::softnic::kit {
namespace {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : at_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *at_++;
  }
  std::uint64_t number(unsigned bytes) {
    std::uint64_t v = 0;
    for (unsigned i = 0; i < bytes; ++i) v = v << 8 | byte();
    return v;
  }

 private:
  const std::uint8_t* at_;
  std::size_t left_;
};

std::vector<Frame> traffic() {
  std::vector<Frame> frames;
  for (unsigned i = 0; i < 600; ++i) {
    frames.push_back(make_frame(i % 5 == 4 ? kBroadcastMac : mac_of(i % 2), kOutside, 60 + i * 13 % 1400,
                                static_cast<std::uint8_t>(i),
                                i % 7 == 0 ? std::optional<std::uint16_t>(i) : std::nullopt));
  }
  return frames;
}

struct Fixture {
  static constexpr std::uint32_t kEntries = 32;
  Lab lab;
  std::vector<std::unique_ptr<RxRing>> rx;
  std::vector<std::unique_ptr<TxRing>> tx;

  static Lab make(std::uint8_t kind) {
    DeviceOptions options;
    options.vfs = 2;
    options.timing = kind % 4 == 3 ? Timing::intel_82599 : Timing::none;
    return Lab(options, traffic(), kind % 2 == 0 ? Rate::Kind::packets : Rate::Kind::maximum);
  }
  explicit Fixture(std::uint8_t kind) : lab(make(kind)) {
    lab.bring_up(1 + kind / 4 % 3);
    for (unsigned v = 0; v < 2; ++v) {
      rx.push_back(std::make_unique<RxRing>(lab.vf(v), 0, kEntries, 1));
      tx.push_back(std::make_unique<TxRing>(lab.vf(v), 0, kEntries));
      rx.back()->give(20);
    }
    lab.mirror(0, kind & 0xf, 1, ~std::uint64_t{0}, ~std::uint64_t{0});
  }
};

// An address near something that exists, or any.
std::uint64_t address(Input& in, Fixture& f, unsigned v) {
  switch (in.byte() % 4) {
    case 0:
      return f.rx[v]->iova() + in.number(2) * 2;
    case 1:
      return f.tx[v]->iova() + in.number(3) % 0x40000;
    case 2:
      return in.number(8);
    default:
      return f.rx[v]->buffer_iova(in.byte() % Fixture::kEntries);
  }
}

void step(Input& in, Fixture& f) {
  const std::uint8_t what = in.byte();
  const unsigned v = what >> 7;
  Client vf = f.lab.vf(v);
  switch (what % 16) {
    case 0:
      return vf.store(static_cast<std::uint32_t>(in.number(2) % vf::kBarSize / 4 * 4),
                      static_cast<std::uint32_t>(in.number(4)));
    case 1:
      return f.lab.pf().store(static_cast<std::uint32_t>(in.number(3) % pf::kBarSize / 4 * 4),
                              static_cast<std::uint32_t>(in.number(4)));
    case 2:
      f.lab.pf().load(static_cast<std::uint32_t>(in.number(3) % pf::kBarSize / 4 * 4));
      return;
    case 3:
      vf.load(static_cast<std::uint32_t>(in.number(2) % vf::kBarSize / 4 * 4));
      return;
    case 4:
      *f.rx[v]->descriptor(in.byte() % Fixture::kEntries) = {address(in, f, v), in.number(1)};
      return;
    case 5:
      f.tx[v]->put(address(in, f, v), in.number(8));
      return f.tx[v]->ring();
    case 6: {
      using namespace hw::ixgbe;
      const std::uint64_t flags = std::uint64_t{in.byte()} << 24 | std::uint64_t{in.byte()} << 36;
      f.tx[v]->put(address(in, f, v), in.number(2) | flags | TxCommand::dtyp_data | TxCommand::dext);
      return f.tx[v]->ring();
    }
    case 7:
      f.tx[v]->context(in.number(4), in.number(4) << 32 | in.number(2));
      return f.tx[v]->ring();
    case 8:
      return vf.write(vf::VFRDT, in.byte() % 2, in.byte());
    case 9:
      return vf.write(vf::VFTDT, in.byte() % 2, in.byte() % (Fixture::kEntries + 2));
    case 10:
      return f.rx[v]->give(in.byte() % 8);
    case 11:
      return f.tx[v]->send(make_frame(mac_of(1 - v), mac_of(v), 60 + in.byte()), 0, 1 + in.byte());
    case 12: {  // the ring moves or its memory goes
      const bool rx = in.byte() % 2 == 0;
      const std::uint64_t iova = rx ? f.rx[v]->iova() : f.tx[v]->iova();
      const auto bytes = rx ? f.rx[v]->memory().size() : f.tx[v]->memory().size();
      vf.model().dma_changed();
      (void)vf.model().dma().unmap(static_cast<hw::Iova>(iova), bytes);
      return;
    }
    case 13: {
      hw::DmaMemory& memory = in.byte() % 2 == 0 ? f.rx[v]->memory() : f.tx[v]->memory();
      const std::uint64_t iova = &memory == &f.rx[v]->memory() ? f.rx[v]->iova() : f.tx[v]->iova();
      (void)vf.model().dma().map(static_cast<hw::Iova>(iova), memory.size(), Fd(::dup(memory.fd())), 0, true, true);
      vf.bus_master();
      vf.write(vf::VFRXDCTL, 0, hw::ixgbe::Rxdctl::enable);
      vf.write(vf::VFTXDCTL, 0, hw::ixgbe::Txdctl::enable);
      return;
    }
    case 14: {
      const std::uint8_t byte = in.byte();
      const std::array<std::byte, 1> one{std::byte{in.byte()}};
      FunctionModel& model = byte % 2 == 0 ? f.lab.device->pf() : vf.model();
      return model.region_write(7, in.number(2) % 4096, one);
    }
    default:
      return f.lab.run(in.byte() % 4);
  }
}

}  // namespace
}  // namespace vigia::softnic::kit

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vigia::softnic;
  vigia::log::set_level(vigia::log::Level::error);
  kit::Input in(data, size);
  kit::Fixture fixture(in.byte());
  for (unsigned steps = 0; !in.empty() && steps < 512; ++steps) {
    kit::step(in, fixture);
    fixture.lab.run(1);
    const std::string broken = kit::broken_account(fixture.lab.device->accounts(), 2);
    if (!broken.empty()) {
      std::fprintf(stderr, "accounts: %s\n", broken.c_str());
      std::abort();
    }
  }
  return 0;
}
