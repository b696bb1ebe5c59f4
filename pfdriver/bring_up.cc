// SPDX-License-Identifier: Apache-2.0
// Order and values: 82599 reference, sections 3 (reset), 4.3 (receive), 5 (transmit), 7.2 (SR-IOV). Waits without a
// bound in the datasheet get 1 s.
#include "pfdriver/bring_up.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <thread>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_pf.h"
#include "hw/log.h"
#include "pfdriver/desired.h"

namespace vigia::pf {
namespace {

namespace reg = hw::ixgbe::pf;
using namespace hw::ixgbe;
using std::chrono::milliseconds;

constexpr milliseconds kLimit{1000};
constexpr milliseconds kLinkLimit{2000};   // Snabb's patience before it tries anew
constexpr milliseconds kQuiesceLimit{80};  // 800 x 100 us, as DPDK

// PCI Express base: extended capabilities begin at 0x100; SR-IOV is number 0x10.
constexpr u32 kFirstExtended = 0x100, kConfigBytes = 4096;
constexpr u32 kSriovId = 0x10, kSriovControl = 0x08, kSriovTotal = 0x0E, kSriovNum = 0x10;
constexpr u32 kVfEnable = 1u << 0, kVfMemory = 1u << 3;

// Packet buffers in KiB, registers hold them from bit 10 on.
constexpr u32 kRxBuffer = 512, kTxBuffer = 160, kBufferShift = 10;

template <class R>
void fill(hw::Bar& bar, const R& reg, u32 value) {
  for (u32 i = 0; i < R::count; ++i) bar.write(reg, i, value);
}

void mask_interrupts(hw::Bar& bar) {
  bar.write(reg::EIMC, 0x7fff'ffff);  // bit 31 is reserved
  fill(bar, reg::EIMC_EX, ~0u);
  (void)bar.read(reg::EICR);
}

Result<Done> check_identity(Port& port) {
  if (port.bar.read(reg::STATUS) != ~0u) return Done{};
  return work_error("STATUS reads as all ones: the device is gone; is vigia-softnic up?");
}

Result<Done> own_the_function(Port& port) { return port.function.set_bus_master(true); }

Result<Done> no_interrupts(Port& port) {
  mask_interrupts(port.bar);
  return Done{};
}

// A queue that still moves data while the device resets can leave the bus hanging.
Result<Done> quiesce(Port& port) {
  port.bar.clear(reg::RXCTRL, 0, Rxctrl::rxen);
  for (u32 n = 0; n < reg::kQueues; ++n) {
    if ((port.bar.read(reg::RXDCTL, n) & Rxdctl::enable) == 0) continue;
    port.bar.clear(reg::RXDCTL, n, Rxdctl::enable);
    auto off = wait_until(fmt::format("RXDCTL[{}].ENABLE off", n), milliseconds(10),
                          [&] { return (port.bar.read(reg::RXDCTL, n) & Rxdctl::enable) == 0; });
    if (!off) return off.error();
  }
  fill(port.bar, reg::TXDCTL, Txdctl::swflsh);
  port.bar.set(reg::CTRL, 0, Ctrl::primary_disable);
  return wait_until("STATUS without bus requests under way", kQuiesceLimit,
                    [&] { return (port.bar.read(reg::STATUS) & Status::primary_enable) == 0; });
}

Result<u32> find_sriov(hw::PciFunction& function) {
  for (u32 at = kFirstExtended, hops = 0; at >= kFirstExtended && at < kConfigBytes && hops < 64; ++hops) {
    const auto header = function.config_read(at, 4);
    if (!header) return header.error();
    if ((*header & 0xffff) == kSriovId) return at;
    at = *header >> 20 & ~3u;
  }
  return work_error("no SR-IOV capability in configuration space: is this the physical function?");
}

// Before the reset, for a changed number of VFs needs one (82599 reference 1.3).
Result<Done> set_number_of_vfs(Port& port) {
  const auto at = find_sriov(port.function);
  if (!at) return at.error();
  const auto total = port.function.config_read(*at + kSriovTotal, 2);
  const auto number = port.function.config_read(*at + kSriovNum, 2);
  const auto control = port.function.config_read(*at + kSriovControl, 2);
  for (const auto* read : {&total, &number, &control}) {
    if (!*read) return read->error();
  }
  if (port.config.vfs > *total) {
    return input_error(fmt::format("pf.vfs: {} wanted, the device has {}; ask for fewer, or start the device with more",
                                   port.config.vfs, *total));
  }
  if (*number == port.config.vfs && (*control & kVfEnable) != 0) return Done{};  // VFs in use keep their place
  if (auto off = port.function.config_write(*at + kSriovControl, 2, *control & ~(kVfEnable | kVfMemory)); !off) {
    return off.error();
  }
  return port.function.config_write(*at + kSriovNum, 2, port.config.vfs);
}

Result<Done> reset_device(Port& port) {
  constexpr u32 kBoth = Ctrl::rst | Ctrl::lrst;
  port.bar.set(reg::CTRL, 0, kBoth);
  std::this_thread::sleep_for(milliseconds(1));
  auto done = wait_until("CTRL.RST off again", kLimit, [&] { return (port.bar.read(reg::CTRL) & kBoth) == 0; });
  if (!done) return done.error();
  std::this_thread::sleep_for(milliseconds(10));
  mask_interrupts(port.bar);
  return Done{};
}

Result<Done> wait_eeprom(Port& port) {
  return wait_until("EEC.AUTO_RD", kLimit, [&] { return (port.bar.read(reg::EEC) & Eec::auto_read_done) != 0; });
}

Result<Done> wait_dma(Port& port) {
  return wait_until("RDRXCTL.DMAIDONE", kLimit, [&] { return (port.bar.read(reg::RDRXCTL) & Rdrxctl::dmaidone) != 0; });
}

Result<Done> start_link(Port& port) {
  port.bar.set(reg::AUTOC, 0, Autoc::lms_10g_sfi | Autoc::restart_an);
  // A cable may be plugged in later, and VFs can do without until then: no link is no failure.
  auto up = wait_until("LINKS.UP", kLinkLimit, [&] { return (port.bar.read(reg::LINKS) & Links::up) != 0; });
  if (!up) log::warning("{}: no link yet; VFs see the link as down until there is one", port.function.name());
  return Done{};
}

// All clear on read.
Result<Done> clear_statistics(Port& port) {
  for (u32 i = 0; i < reg::QPRC.count; ++i) {
    (void)port.bar.read(reg::QPRC, i);
    (void)port.bar.read(reg::QPRDC, i);
  }
  (void)port.bar.read(reg::GPRC);
  (void)port.bar.read(reg::RXMPC, 0);
  (void)port.bar.read(reg::SSVPC);
  return Done{};
}

// These keep garbage through a reset (82599 reference 3): whatever is not written here may hold anything.
Result<Done> clear_tables(Port& port) {
  for (u32 i = 1; i < reg::RAH.count; ++i) {
    port.bar.write(reg::RAH, i, 0);
    port.bar.write(reg::RAL, i, 0);
  }
  fill(port.bar, reg::MPSAR, 0);
  fill(port.bar, reg::MTA, 0);
  fill(port.bar, reg::VFTA, 0);
  fill(port.bar, reg::PFUTA, 0);
  fill(port.bar, reg::PFVLVF, 0);
  fill(port.bar, reg::PFVLVFB, 0);
  fill(port.bar, reg::FTQF, 0);
  fill(port.bar, reg::PFMRCTL, 0);
  fill(port.bar, reg::PFMRVM, 0);
  fill(port.bar, reg::PFMRVLAN, 0);
  fill(port.bar, reg::PFVMVIR, 0);
  fill(port.bar, reg::PFVML2FLT, 0);
  fill(port.bar, reg::PFVFSPOOF, 0);
  fill(port.bar, reg::PFVMTXSW, 0);
  return Done{};
}

Result<Done> receive_path(Port& port) {
  hw::Bar& bar = port.bar;
  bar.set(reg::HLREG0, 0, Hlreg0::txcrcen | Hlreg0::rxcrcstrp | Hlreg0::txpaden | Hlreg0::rxlngtherren);
  const u32 kept = bar.read(reg::RDRXCTL) & ~(0x1fu << 17);  // RSCFRSTSIZE must be 0
  bar.write(reg::RDRXCTL, kept | Rdrxctl::crcstrip | Rdrxctl::rscackc | Rdrxctl::fcoe_wrfix);
  fill(bar, reg::RXPBSIZE, 0);
  bar.write(reg::RXPBSIZE, 0, kRxBuffer << kBufferShift);
  // Flow control is parked, but switching between VFs applies back-pressure by this threshold: DPDK's value.
  fill(bar, reg::FCRTH, 0);
  fill(bar, reg::FCRTL, 0);
  bar.write(reg::FCRTH, 0, (kRxBuffer - 32) << kBufferShift);
  bar.write(reg::FCCFG, 0);
  bar.write(reg::VLNCTRL, Vlnctrl::vet_8100);
  return Done{};
}

Result<Done> transmit_path(Port& port) {
  hw::Bar& bar = port.bar;
  bar.clear(reg::DMATXCTL, 0, Dmatxctl::te);
  bar.set(reg::RTTDCS, 0, Rttdcs::arbdis);
  bar.write(reg::DTXMXSZRQ, 0xfff);  // without traffic classes
  fill(bar, reg::TXPBSIZE, 0);
  bar.write(reg::TXPBSIZE, 0, kTxBuffer << kBufferShift);
  const u32 frame_kib = (port.nic.largest_frame + 1023) / 1024;
  bar.write(reg::TXPBTHRESH, 0, kTxBuffer - frame_kib);
  bar.write(reg::MTQC, pool_mode(port.nic, port.config.vfs).mtqc);
  bar.write(reg::RTTBCNRM, port.nic.rate_limit_memory);
  bar.clear(reg::RTTDCS, 0, Rttdcs::arbdis);
  bar.set(reg::DMATXCTL, 0, Dmatxctl::te);
  return Done{};
}

Result<Done> pools(Port& port) {
  hw::Bar& bar = port.bar;
  const PoolMode& mode = pool_mode(port.nic, port.config.vfs);
  bar.write(reg::MRQC, mode.mrqc | Mrqc::l3l4txswen | Mrqc::tcp_ipv4 | Mrqc::ipv4 | Mrqc::ipv6 | Mrqc::tcp_ipv6 |
                           Mrqc::udp_ipv4 | Mrqc::udp_ipv6);
  bar.write(reg::PFVTCTL,
            Pfvtctl::vt_ena | Pfvtctl::rpl_en | Pfvtctl::dis_def_pool | pf_pool(port.config) << Pfvtctl::def_pl_shift);
  bar.write(reg::GCR_EXT, mode.vt_mode | GcrExt::msix_vt);
  bar.write(reg::GPIE, mode.vt_mode << Gpie::vt_mode_shift | Gpie::msix_mode | Gpie::pba_support);
  fill(bar, reg::PFVFRE, 0);
  fill(bar, reg::PFVFTE, 0);
  fill(bar, reg::PSRTYPE, 0);
  return Done{};
}

Result<Done> rss(Port& port) {
  const auto key = rss_key();
  for (u32 i = 0; i < reg::RSSRK.count; ++i) {
    port.bar.write(reg::RSSRK, i,
                   u32{key[4 * i]} | u32{key[4 * i + 1]} << 8 | u32{key[4 * i + 2]} << 16 | u32{key[4 * i + 3]} << 24);
  }
  const auto table = rss_table(pool_mode(port.nic, port.config.vfs));
  for (u32 i = 0; i < reg::RETA.count; ++i) {
    port.bar.write(
        reg::RETA, i,
        u32{table[4 * i]} | u32{table[4 * i + 1]} << 8 | u32{table[4 * i + 2]} << 16 | u32{table[4 * i + 3]} << 24);
  }
  return Done{};
}

Result<Done> start_receiver(Port& port) {
  hw::Bar& bar = port.bar;
  bar.set(reg::SECRXCTRL, 0, Secrx::rx_dis);
  auto ready = wait_until("SECRXSTAT.SECRX_RDY", kLimit, [&] { return (bar.read(reg::SECRXSTAT) & Secrx::rdy) != 0; });
  if (!ready) return ready.error();
  bar.set(reg::RXCTRL, 0, Rxctrl::rxen);
  bar.clear(reg::SECRXCTRL, 0, Secrx::rx_dis);
  bar.set(reg::CTRL_EXT, 0, CtrlExt::ns_dis);
  return Done{};
}

Result<Done> enable_vfs(Port& port) {
  const auto at = find_sriov(port.function);
  if (!at) return at.error();
  const auto control = port.function.config_read(*at + kSriovControl, 2);
  if (!control) return control.error();
  if ((*control & kVfEnable) != 0) return Done{};
  return port.function.config_write(*at + kSriovControl, 2, *control | kVfEnable | kVfMemory);
}

Result<Done> interrupts(Port& port) {
  hw::Bar& bar = port.bar;
  const auto vfs = port.config.vfs;
  // A VF without a place here (the device may have more than NumVFs) cannot interrupt us.
  for (u32 w = 0; w < reg::PFMBIMR.count; ++w) {
    const unsigned below = vfs <= 32 * w ? 0 : std::min(vfs - 32 * w, 32u);
    bar.write(reg::PFMBIMR, w, below == 32 ? ~0u : (1u << below) - 1);
  }
  if (!port.msix) return Done{};
  constexpr u32 kOtherCauses = 8;  // byte 1 of IVAR_MISC; vector 0
  bar.write(reg::IVAR_MISC, Ivar::valid << kOtherCauses);
  bar.write(reg::EIMS, Eicr::mailbox | Eicr::lsc);
  return Done{};
}

constexpr std::array kSteps{
    Step{"device answers", &check_identity},
    Step{"memory space and bus master on", &own_the_function},  // 3, step 1
    Step{"mask interrupts", &no_interrupts},                    // 3, step 2
    Step{"stop queues and bus requests", &quiesce},             // 3, step 3
    Step{"set NumVFs", &set_number_of_vfs},                     // 1.3
    Step{"reset", &reset_device},                               // 3, steps 4 and 5
    Step{"wait for EEPROM", &wait_eeprom},                      // 3, step 6
    Step{"wait for DMA initialisation", &wait_dma},             // 3, step 8
    Step{"start link", &start_link},                            // 3, step 9
    Step{"clear statistics", &clear_statistics},                // 3, step 10
    Step{"clear filter tables", &clear_tables},                 // 3, last paragraph but one
    Step{"receive path", &receive_path},                        // 4.3
    Step{"transmit path", &transmit_path},                      // 5
    Step{"pools", &pools},                                      // 7.2, steps 1 to 3 and 10
    Step{"RSS table and key", &rss},                            // 10
    Step{"start receiver", &start_receiver},                    // 4.3, last paragraph but one
    Step{"VF Enable", &enable_vfs},                             // 1.3
    Step{"interrupts", &interrupts},                            // 2.1, 11.1
};

}  // namespace

std::span<const Step> bring_up_steps() { return kSteps; }

Result<Done> bring_up(Port& port, const std::function<void(std::string_view)>& started) {
  for (const Step& step : kSteps) {
    if (started) started(step.name);
    auto done = step.run(port);
    if (done) continue;
    Error error = done.error();
    error.text = fmt::format("bring up {}, step '{}': {}", port.function.name(), step.name, error.text);
    return error;
  }
  return Done{};
}

void announce(hw::Bar& bar) {
  bar.clear(reg::CTRL_EXT, 0, CtrlExt::pfrstd);  // it acts when it is set, and it may have been set before
  bar.set(reg::CTRL_EXT, 0, CtrlExt::pfrstd | CtrlExt::drv_load);
}

void tear_down(hw::PciFunction& function, hw::Bar& bar) {
  mask_interrupts(bar);
  bar.clear(reg::RXCTRL, 0, Rxctrl::rxen);
  fill(bar, reg::PFVFRE, 0);
  fill(bar, reg::PFVFTE, 0);
  bar.clear(reg::DMATXCTL, 0, Dmatxctl::te);
  bar.clear(reg::CTRL_EXT, 0, CtrlExt::drv_load);
  (void)function.set_bus_master(false);
}

std::array<std::uint8_t, 128> rss_table(const PoolMode& mode) {
  std::array<std::uint8_t, 128> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<std::uint8_t>(i % mode.queues);
  return table;
}

// A repeated 16-bit pattern: both directions of a connection hash alike, so an agent with several queues sees each
// connection on one of them (82599 reference 10).
std::array<std::uint8_t, 40> rss_key() {
  std::array<std::uint8_t, 40> key{};
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = i % 2 == 0 ? 0x6d : 0x5a;
  return key;
}

}  // namespace vigia::pf
