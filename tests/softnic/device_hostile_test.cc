// SPDX-License-Identifier: Apache-2.0
// Clients that want to break the device. Each case runs beside a well-behaved VF, whose traffic must not notice.
#include <gtest/gtest.h>

#include <random>

#include "tests/softnic/device_accounts.h"
#include "tests/softnic/device_kit.h"

namespace vigia::softnic::kit {
namespace {

using namespace hw::ixgbe;

// VF 0 attacks, VF 1 receives a frame each round.
struct Scene {
  static constexpr unsigned kRounds = 200;
  Lab lab{options(), frames(), Rate::Kind::packets, times()};
  std::unique_ptr<RxRing> victim;

  Scene() {
    lab.bring_up();
    victim = std::make_unique<RxRing>(lab.vf(1), 0, 64);
    victim->give(63);
  }
  static DeviceOptions options() {
    DeviceOptions o;
    o.vfs = 2;
    return o;
  }
  // Frames for both, in turn.
  static std::vector<Frame> frames() {
    std::vector<Frame> f;
    for (unsigned i = 0; i < kRounds; ++i) {
      f.push_back(make_frame(mac_of(0), kOutside, 60));
      f.push_back(make_frame(mac_of(1), kOutside, 60, static_cast<std::uint8_t>(i)));
    }
    return f;
  }
  static std::vector<std::uint64_t> times() {
    std::vector<std::uint64_t> t;
    for (unsigned i = 0; i < 2 * kRounds; ++i) t.push_back(100'000 + i / 2 * 1000);
    return t;
  }
  // Runs to the end, calling attack before each round; then checks that the victim got everything.
  void play(const std::function<void(unsigned)>& attack) {
    unsigned received = 0;
    for (unsigned round = 0; round < kRounds + 150; ++round) {
      attack(round);
      lab.run(1);
      for (auto r = victim->take(); r; r = victim->take()) {
        ASSERT_EQ(r->bytes, make_frame(mac_of(1), kOutside, 60, static_cast<std::uint8_t>(received)));
        ++received;
        victim->give(1);
      }
    }
    EXPECT_EQ(received, kRounds);
    EXPECT_EQ(lab.account("vf1.written"), kRounds);
    EXPECT_EQ(broken_account(lab.device->accounts(), 2), "");
  }
};

TEST(DeviceHostile, TailsBeyondTheRing) {
  Scene s;
  RxRing rx(s.lab.vf(0), 0, 64);
  TxRing tx(s.lab.vf(0), 0, 64);
  s.play([&](unsigned round) {
    Client v = s.lab.vf(0);
    v.write(vf::VFRXDCTL, 0, Rxdctl::enable);
    v.write(vf::VFTXDCTL, 0, Txdctl::enable);
    v.write(vf::VFRDT, 0, 64 + round * 331);
    v.write(vf::VFTDT, 0, 0xffff'ffff - round);
  });
  EXPECT_GT(s.lab.device->faults().at("vf0.rx_faults"), 10u);
  EXPECT_GT(s.lab.device->faults().at("vf0.tx_faults"), 10u);
}

TEST(DeviceHostile, ReceiveDescriptorsThatPointEverywhere) {
  Scene s;
  RxRing rx(s.lab.vf(0), 0, 64);
  const std::uint64_t bad[] = {0, ~std::uint64_t{0}, RxRing::kIova - 1, rx.buffer_iova(63) + 1, 0x8000'0000'0000'0000};
  s.play([&](unsigned round) {
    Client v = s.lab.vf(0);
    v.write(vf::VFRXDCTL, 0, 0);
    for (std::uint32_t i = 0; i < 64; ++i) rx.descriptor(i)->word0 = bad[(round + i) % std::size(bad)];
    v.write(vf::VFRDH, 0, 0);
    v.write(vf::VFRXDCTL, 0, Rxdctl::enable);
    v.write(vf::VFRDT, 0, 63);
  });
  EXPECT_GT(s.lab.account("vf0.dma_fault"), 10u);
}

TEST(DeviceHostile, TransmitDescriptorsOfAllKinds) {
  Scene s;
  TxRing tx(s.lab.vf(0), 0, 64);
  std::mt19937_64 random(7);
  s.play([&](unsigned) {
    Client v = s.lab.vf(0);
    v.write(vf::VFTXDCTL, 0, 0);
    v.write(vf::VFTXDCTL, 0, Txdctl::enable);
    for (int i = 0; i < 20; ++i) {
      std::uint64_t word1 = random();
      if (i % 2 == 0) word1 = (word1 & ~TxCommand::dtyp_mask) | TxCommand::dtyp_data | TxCommand::dext;
      tx.put(i % 3 == 0 ? tx.iova() + random() % 70000 : random(), word1);
    }
    tx.ring();
  });
  EXPECT_GT(s.lab.account("tx.malformed"), 10u);
}

TEST(DeviceHostile, ChainsWithoutEnd) {
  Scene s;
  TxRing tx(s.lab.vf(0), 0, 512);
  s.play([&](unsigned round) {
    s.lab.vf(0).write(vf::VFTXDCTL, 0, Txdctl::enable);
    for (int i = 0; i < 500; ++i) {
      tx.put(tx.iova(), 0xffff | TxCommand::dext | (round % 2 == 0 ? TxCommand::dtyp_data : TxCommand::dtyp_context));
    }
    tx.ring();
  });
}

TEST(DeviceHostile, MemoryTakenAwayWhileDmaRuns) {
  Scene s;
  RxRing rx(s.lab.vf(0), 0, 64);
  TxRing tx(s.lab.vf(0), 0, 64);
  s.play([&](unsigned round) {
    Client v = s.lab.vf(0);
    if (round % 4 == 0) {
      v.unmap(rx.memory(), rx.iova());
      v.unmap(tx.memory(), tx.iova());
    } else if (round % 4 == 2) {
      v.map(rx.memory(), rx.iova());
      v.map(tx.memory(), tx.iova());
      v.write(vf::VFRXDCTL, 0, Rxdctl::enable);
      v.write(vf::VFTXDCTL, 0, Txdctl::enable);
      rx.give(2);
      tx.send(make_frame(kOutside, mac_of(0)));
    }
  });
}

TEST(DeviceHostile, ReadOnlyMemoryIsNotWritten) {
  Scene s;
  auto memory = dma_memory(64 * 1024);
  Client v = s.lab.vf(0);
  v.bus_master();
  v.map(memory, 0x40000, false);
  s.play([&](unsigned) {
    v.write(vf::VFRDBAL, 0, 0x40000);
    v.write(vf::VFRDLEN, 0, 1024);
    v.write(vf::VFSRRCTL, 0, 2 | Srrctl::desctype_advanced);
    v.write(vf::VFRXDCTL, 0, Rxdctl::enable);
    v.write(vf::VFRDT, 0, 32);
  });
  EXPECT_EQ(s.lab.account("vf0.written"), 0u);
}

TEST(DeviceHostile, RingInMemoryThatIsNotAligned) {
  Scene s;
  auto memory = dma_memory(64 * 1024);
  Client v = s.lab.vf(0);
  v.bus_master();
  auto mapped = v.model().dma().map(static_cast<hw::Iova>(0x40000), 32 * 1024, Fd(::dup(memory.fd())), 3, true, true);
  s.play([&](unsigned) {
    v.write(vf::VFRDBAL, 0, 0x40000);
    v.write(vf::VFRDLEN, 0, 1024);
    v.write(vf::VFSRRCTL, 0, 2 | Srrctl::desctype_advanced);
    v.write(vf::VFRXDCTL, 0, Rxdctl::enable);
    v.write(vf::VFRDT, 0, 32);
  });
}

TEST(DeviceHostile, FloodsOfMailboxMessagesAndResets) {
  Scene s;
  s.play([&](unsigned round) {
    Client v = s.lab.vf(0);
    for (unsigned i = 0; i < 200; ++i) {
      v.write(vf::VFMBMEM, i % 16, ~i);
      v.write(vf::VFMAILBOX, 0, i);
      v.read(vf::VFMAILBOX);
    }
    if (round % 10 == 0) v.write(vf::VFCTRL, 0, ~0u);
    if (round % 17 == 0) v.model().function_reset();
    if (round % 23 == 0) v.model().detached();
  });
  EXPECT_EQ(s.lab.vf(1).read(vf::VFMAILBOX) & mbx::VfBit::pfsts, 0u);
}

TEST(DeviceHostile, EveryRegisterOfTheWindowWritten) {
  Scene s;
  std::minstd_rand random(3);
  s.play([&](unsigned) {
    Client v = s.lab.vf(0);
    for (int i = 0; i < 50; ++i)
      v.store(static_cast<std::uint32_t>(random()) % vf::kBarSize / 4 * 4, static_cast<std::uint32_t>(random()) << 1);
  });
}

// The registers themselves in mapped pages change under the device's hands.
TEST(DeviceHostile, MappedPagesFullOfNoise) {
  Scene s;
  RxRing rx(s.lab.vf(0), 0, 64);
  std::minstd_rand random(5);
  VfPages& pages = s.lab.device->chip().pages[0];
  s.play([&](unsigned round) {
    for (std::uint32_t at = vf_rx_page; at < vf_tx_page + vf_page_bytes; at += 4) {
      if (random() % 8 == 0)
        std::atomic_ref(*pages.word(at))
            .store(static_cast<std::uint32_t>(round % 3 == 0 ? random() : random() & 0x3f0));
    }
    *pages.word(vf::VFRDLEN.at(0)) = 1024;
    *pages.word(vf::VFRDBAL.at(0)) = static_cast<std::uint32_t>(rx.iova());
    *pages.word(vf::VFRXDCTL.at(0)) = Rxdctl::enable;
  });
}

}  // namespace
}  // namespace vigia::softnic::kit
