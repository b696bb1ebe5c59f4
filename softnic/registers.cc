// SPDX-License-Identifier: Apache-2.0
// Reset values and what survives a reset: 82599 datasheet chapter 8 as restated in the reference, sections 2 to 7.
#include "softnic/registers.h"

#include "hw/result.h"
#include "softnic/eeprom.h"

namespace vigia::softnic {
namespace {

using namespace hw::ixgbe;
using enum Behaviour;
using enum OnReset;

template <class R>
RegisterRow row(const R& reg, Behaviour behaviour, Effect effect = Effect::none, std::uint32_t reset_value = 0,
                OnReset on_reset = resets) {
  return {reg.name, &R::at, R::count, behaviour, effect, on_reset, reset_value, ~0u, nullptr};
}

template <class R>
RegisterRow row(const R& reg, Behaviour behaviour, Effect effect, std::uint32_t reset_value, OnReset on_reset,
                std::uint32_t writable) {
  return {reg.name, &R::at, R::count, behaviour, effect, on_reset, reset_value, writable, nullptr};
}

template <class R, class P>
RegisterRow pair(const R& reg, const P&, Behaviour behaviour, Effect effect = Effect::none) {
  return {reg.name, &R::at, R::count, behaviour, effect, resets, 0, ~0u, &P::at};
}

void add_general(std::vector<RegisterRow>& t) {
  t.push_back(row(pf::CTRL, plain, Effect::control));
  t.push_back(row(pf::STATUS, read_only, Effect::none, Status::link_up | Status::primary_enable));
  t.push_back(row(pf::CTRL_EXT, plain, Effect::control_ext));
  t.push_back(row(pf::ESDP, plain, Effect::none, Esdp::module_present, resets, ~Esdp::module_present));
  t.push_back(row(pf::I2CCTL, plain, Effect::module_lines, I2cctl::clock_out | I2cctl::data_out, resets,
                  I2cctl::clock_out | I2cctl::data_out));
  t.push_back(row(pf::FRTIMER, read_only, Effect::timer));
  t.push_back(row(pf::TCPTIMER, plain));
  t.push_back(row(pf::LEDCTL, plain));
  t.push_back(row(pf::EEC, plain, Effect::eeprom_lines,
                  Eec::present | Eec::auto_read_done | Eec::wide_address | kEepromSize << Eec::size_shift, resets,
                  Eec::clock | Eec::select | Eec::data_in | Eec::request));
  t.push_back(row(pf::EERD, plain, Effect::eeprom_read));
  t.push_back(row(pf::FWSM, plain, Effect::none, Fwsm::firmware_valid));
  t.push_back(row(pf::SWSM, semaphore));
  t.push_back(row(pf::SW_FW_SYNC, plain));
  t.push_back(row(pf::FACTPS, read_only));
  t.push_back(row(pf::GCR_EXT, plain, Effect::queue_layout));
  // What an SFP+ card's EEPROM loads: 10G serial, SFI.
  t.push_back(row(pf::AUTOC, plain, Effect::restart_link, Autoc::lms_10g_sfi, resets, ~Autoc::restart_an));
  t.push_back(row(pf::AUTOC2, plain, Effect::none, 2u << 16));
  t.push_back(row(pf::ANLP1, read_only, Effect::none, Anlp1::state_started));
  t.push_back(row(pf::LINKS, read_only, Effect::none, Links::up | Links::speed_10g));
  t.push_back(row(pf::HLREG0, plain, Effect::filters,
                  Hlreg0::txcrcen | Hlreg0::rxcrcstrp | Hlreg0::txpaden | Hlreg0::rxlngtherren));
  t.push_back(row(pf::MAXFRS, plain, Effect::filters, 0x05EEu << Maxfrs::mfs_shift));
  t.push_back(row(pf::MFLCN, plain));
  t.push_back(row(pf::FCRTH, plain));
  t.push_back(row(pf::FCRTL, plain));
  t.push_back(row(pf::FCTTV, plain));
  t.push_back(row(pf::FCRTV, plain));
  t.push_back(row(pf::FCCFG, plain));
  for (const auto& r : {row(pf::TSYNCRXCTL, plain), row(pf::TSYNCTXCTL, plain), row(pf::TIMINCA, plain)})
    t.push_back(r);
}

void add_interrupts(std::vector<RegisterRow>& t) {
  t.push_back(row(pf::EICR, read_and_1_clear));
  t.push_back(pair(pf::EICS, pf::EICR, ones_set_partner, Effect::interrupt_cause));
  t.push_back(row(pf::EIMS, ones_set, Effect::interrupt_mask));
  t.push_back(pair(pf::EIMC, pf::EIMS, ones_clear_partner));
  t.push_back(row(pf::EIAC, plain));
  t.push_back(row(pf::EIAM, plain));
  t.push_back(row(pf::EICS_EX, write_only, Effect::interrupt_cause));
  t.push_back(row(pf::EIMS_EX, ones_set, Effect::interrupt_mask));
  t.push_back(pair(pf::EIMC_EX, pf::EIMS_EX, ones_clear_partner));
  t.push_back(row(pf::EIAM_EX, plain));
  t.push_back(row(pf::EITR, plain));
  t.push_back(row(pf::EITRSEL, plain));
  t.push_back(row(pf::IVAR, plain));
  t.push_back(row(pf::IVAR_MISC, plain));
  t.push_back(row(pf::GPIE, plain, Effect::queue_layout));
  t.push_back(row(pf::PBACL, write_only));
  t.push_back(row(pf::VTEICR, read_and_1_clear, Effect::none, 0, resets));
  t.push_back(pair(pf::VTEICS, pf::VTEICR, ones_set_partner, Effect::vf_interrupt_cause));
  t.push_back(row(pf::VTEIMS, ones_set, Effect::vf_interrupt_mask));
  t.push_back(pair(pf::VTEIMC, pf::VTEIMS, ones_clear_partner));
  for (const auto& r :
       {row(pf::VTEIAC, plain), row(pf::VTEIAM, plain), row(pf::VTIVAR, plain), row(pf::VTIVAR_MISC, plain),
        row(internal::VTIVAR_123, plain), row(internal::VTEITR, plain), row(internal::VTRSCINT, plain)}) {
    t.push_back(r);
  }
}

void add_receive(std::vector<RegisterRow>& t) {
  constexpr auto ring = Effect::rx_ring;
  t.push_back(row(pf::RDBAL, plain, ring, 0, keeps, ~0x7fu));
  t.push_back(row(pf::RDBAH, plain, ring, 0, keeps));
  t.push_back(row(pf::RDLEN, plain, ring));
  t.push_back(row(pf::DCA_RXCTRL, plain, ring, DcaRxctrl::must_clear));
  t.push_back(row(pf::RDH, plain, ring, 0, resets, 0xffff));
  t.push_back(row(pf::SRRCTL, plain, ring, kSrrctlReset));
  t.push_back(row(pf::RDT, plain, ring, 0, resets, 0xffff));
  t.push_back(row(pf::RXDCTL, plain, ring, 0, resets, ~Rxdctl::swflsh));
  t.push_back(row(pf::RSCCTL, plain, ring));
  t.push_back(row(pf::RXCTRL, plain, Effect::filters));
  t.push_back(row(pf::RDRXCTL, plain, Effect::none, Rdrxctl::dmaidone, resets, ~Rdrxctl::dmaidone));
  t.push_back(row(pf::RXPBSIZE, plain, Effect::filters));
  t.push_back(row(pf::SECRXCTRL, plain, Effect::filters));
  t.push_back(row(pf::SECRXSTAT, read_only, Effect::none, Secrx::rdy));
  t.push_back(row(pf::RXCSUM, plain, Effect::filters));
  for (const auto& r : {row(pf::RFCTL, plain), row(pf::RSCDBU, plain), row(pf::RXDSTATCTRL, plain),
                        row(pf::RTRPCS, plain), row(pf::RTRPT4C, plain)}) {
    t.push_back(r);
  }
  t.push_back(row(pf::RTRUP2TC, plain, Effect::filters));
  // L2 filters
  t.push_back(row(pf::FCTRL, plain, Effect::filters));
  t.push_back(row(pf::VLNCTRL, plain, Effect::filters, Vlnctrl::vet_8100));
  t.push_back(row(pf::MCSTCTRL, plain, Effect::filters));
  for (const auto& r :
       {row(pf::MTA, plain, Effect::filters, 0, keeps), row(pf::RAL, plain, Effect::filters, 0, keeps),
        row(pf::RAH, plain, Effect::filters, 0, keeps, Rah::av | 0xffff),
        row(pf::MPSAR, plain, Effect::filters, 0, keeps), row(pf::VFTA, plain, Effect::filters, 0, keeps),
        row(pf::PFUTA, plain, Effect::filters, 0, keeps), row(pf::ETQF, plain, Effect::filters),
        row(pf::ETQS, plain, Effect::filters), row(pf::SYNQF, plain, Effect::filters),
        row(pf::FTQF, plain, Effect::none, 0, keeps), row(pf::SAQF, plain, Effect::none, 0, keeps),
        row(pf::DAQF, plain, Effect::none, 0, keeps), row(pf::SDPQF, plain, Effect::none, 0, keeps),
        row(pf::L34TIMIR, plain, Effect::none, 0, keeps)}) {
    t.push_back(r);
  }
  // Flow director is not modelled; its initialization ends all the same.
  t.push_back(row(pf::FDIRCTRL, plain, Effect::none, Fdirctrl::init_done, resets, ~Fdirctrl::init_done));
  // RSS
  t.push_back(row(pf::MRQC, plain, Effect::queue_layout));
  t.push_back(row(pf::RSSRK, plain, Effect::filters));
  t.push_back(row(pf::RETA, plain, Effect::filters, 0, keeps));
  t.push_back(row(pf::PSRTYPE, plain, Effect::filters, 0, keeps));
  t.push_back(row(pf::RQTC, plain, Effect::none, 0x44444444));
}

void add_transmit(std::vector<RegisterRow>& t) {
  constexpr auto ring = Effect::tx_ring;
  t.push_back(row(pf::TDBAL, plain, ring, 0, keeps, ~0x7fu));
  t.push_back(row(pf::TDBAH, plain, ring, 0, keeps));
  t.push_back(row(pf::TDLEN, plain, ring));
  t.push_back(row(pf::DCA_TXCTRL, plain, ring));
  t.push_back(row(pf::TDH, plain, ring, 0, resets, 0xffff));
  t.push_back(row(pf::TDT, plain, ring, 0, resets, 0xffff));
  t.push_back(row(pf::TXDCTL, plain, ring, 0, resets, ~Txdctl::swflsh));
  t.push_back(row(pf::TDWBAL, plain, ring));
  t.push_back(row(pf::TDWBAH, plain, ring));
  t.push_back(row(pf::DMATXCTL, plain, Effect::transmit));
  t.push_back(row(pf::DTXMXSZRQ, plain, Effect::none, 0x10));
  t.push_back(row(pf::RTTDCS, plain, Effect::none, 1u << 22 | 1u << 23));  // BDPM, BPBFSM
  t.push_back(row(pf::RTTDQSEL, plain));
  t.push_back(row(pf::RTTBCNRC, plain, Effect::rate_limit));
  for (const auto& r :
       {row(pf::RTTBCNRM, plain), row(pf::RTTDT1C, plain), row(pf::RTTDT2C, plain), row(pf::RTTPT2C, plain),
        row(pf::RTTPCS, plain), row(pf::RTTUP2TC, plain), row(pf::SECTXMINIFG, plain)}) {
    t.push_back(r);
  }
  t.push_back(row(pf::TXPBSIZE, plain));
  t.push_back(row(pf::TXPBTHRESH, plain));
  t.push_back(row(pf::MTQC, plain, Effect::queue_layout));
  t.push_back(row(pf::SECTXCTRL, plain));
  t.push_back(row(pf::SECTXSTAT, read_only, Effect::none, Secrx::rdy));
  t.push_back(row(internal::RATE, plain));
}

void add_virtualization(std::vector<RegisterRow>& t) {
  t.push_back(row(pf::PFVTCTL, plain, Effect::queue_layout));
  for (const auto& r : {row(pf::PFVML2FLT, plain, Effect::filters), row(pf::PFVLVF, plain, Effect::filters),
                        row(pf::PFVLVFB, plain, Effect::filters, 0, keeps),
                        row(pf::PFMRCTL, plain, Effect::filters, 0, resets, Mrctl::types | Mrctl::mp_mask),
                        row(pf::PFMRVLAN, plain, Effect::filters), row(pf::PFMRVM, plain, Effect::filters),
                        row(pf::PFVFRE, plain, Effect::filters), row(pf::PFVFTE, plain, Effect::filters),
                        row(pf::PFVMTXSW, plain, Effect::filters), row(pf::PFDTXGSWC, plain, Effect::filters),
                        row(pf::PFVFSPOOF, plain, Effect::filters), row(pf::PFVMVIR, plain, Effect::filters),
                        row(pf::PFVMECM, plain, Effect::filters)}) {
    t.push_back(r);
  }
  t.push_back(row(pf::PFQDE, plain, Effect::queue_drop_enable));
  t.push_back(row(internal::QDE, plain));
  t.push_back(row(pf::SSVPC, read_clears));
  t.push_back(row(pf::PFVFLRE, read_only));
  t.push_back(pair(pf::PFVFLREC, pf::PFVFLRE, ones_clear_partner, Effect::vflr_clear));
  t.push_back(row(pf::PFMAILBOX, plain, Effect::mailbox));
  t.push_back(row(pf::PFMBMEM, plain, Effect::none, 0, keeps));
  t.push_back(row(pf::PFMBICR, write_1_clears));
  t.push_back(row(pf::PFMBIMR, plain, Effect::none, ~0u));
  t.push_back(row(pf::VFCTRL, write_only, Effect::vf_control));
  t.push_back(row(pf::VFMAILBOX, read_only, Effect::mailbox_view));
  // Counters of the VFs: theirs to read, the PF's to write; they survive every reset.
  for (const auto& r :
       {row(pf::VFGPRC, plain, Effect::none, 0, keeps), row(pf::VFGORC_LSB, plain, Effect::none, 0, keeps),
        row(pf::VFGORC_MSB, plain, Effect::none, 0, keeps), row(pf::VFMPRC, plain, Effect::none, 0, keeps),
        row(pf::VFGPTC, plain, Effect::none, 0, keeps), row(pf::VFGOTC_LSB, plain, Effect::none, 0, keeps),
        row(pf::VFGOTC_MSB, plain, Effect::none, 0, keeps)}) {
    t.push_back(r);
  }
}

void add_statistics(std::vector<RegisterRow>& t) {
  t.push_back(row(pf::RQSMR, plain, Effect::filters));
  t.push_back(row(pf::TQSM, plain, Effect::filters));
  for (const auto& r :
       {row(pf::QPRC, read_clears),       row(pf::QBRC_L, read_clears),     row(pf::QBRC_H, read_clears),
        row(pf::QPRDC, read_clears),      row(pf::QPTC, read_clears),       row(pf::QBTC_L, read_clears),
        row(pf::QBTC_H, read_clears),     row(pf::RXMPC, read_clears),      row(pf::RLEC, read_clears),
        row(pf::PRC, read_clears),        row(pf::GPRC, read_clears),       row(pf::BPRC, read_clears),
        row(pf::MPRC, read_clears),       row(pf::GPTC, read_clears),       row(pf::GORCL, read_clears),
        row(pf::GORCH, read_clears),      row(pf::GOTCL, read_clears),      row(pf::GOTCH, read_clears),
        row(pf::RXNFGPC, read_clears),    row(pf::RXNFGBCL, read_clears),   row(pf::RXNFGBCH, read_clears),
        row(pf::RUC, read_clears),        row(pf::ROC, read_clears),        row(pf::TORL, read_clears),
        row(pf::TORH, read_clears),       row(pf::TPR, read_clears),        row(pf::TPT, read_clears),
        row(pf::MPTC, read_clears),       row(pf::BPTC, read_clears),       row(pf::RXDGPC, read_clears),
        row(pf::RXDGBCL, read_clears),    row(pf::RXDGBCH, read_clears),    row(pf::RXDDPC, read_clears),
        row(pf::RXDDBCL, read_clears),    row(pf::RXDDBCH, read_clears),    row(pf::RXLPBKPC, read_clears),
        row(pf::TXDGPC, read_clears),     row(pf::CRCERRS, read_clears),    row(pf::ILLERRC, read_clears),
        row(pf::ERRBC, read_clears),      row(pf::MSPDC, read_clears),      row(pf::MLFC, read_clears),
        row(pf::MRFC, read_clears),       row(pf::LXONTXC, read_clears),    row(pf::LXOFFTXC, read_clears),
        row(pf::LXONRXCNT, read_clears),  row(pf::LXOFFRXCNT, read_clears), row(pf::RFC, read_clears),
        row(pf::RJC, read_clears),        row(pf::MNGPRC, read_clears),     row(pf::MNGPDC, read_clears),
        row(pf::MNGPTC, read_clears),     row(pf::PTC, read_clears),        row(pf::XEC, read_clears),
        row(pf::RXLPBKBCL, read_clears),  row(pf::RXLPBKBCH, read_clears),  row(pf::RXDLPBKPC, read_clears),
        row(pf::RXDLPBKBCL, read_clears), row(pf::RXDLPBKBCH, read_clears), row(pf::TXDGBCL, read_clears),
        row(pf::TXDGBCH, read_clears)}) {
    t.push_back(r);
  }
}

std::vector<RegisterRow> make_table() {
  std::vector<RegisterRow> t;
  t.push_back({"reserved", nullptr, 0, reserved, Effect::none, keeps, 0, 0, nullptr});
  add_general(t);
  add_interrupts(t);
  add_receive(t);
  add_transmit(t);
  add_virtualization(t);
  add_statistics(t);
  return t;
}

template <class From, class To>
AliasRow alias(const From&, const To&) {
  return {&From::at, &To::at, From::count};
}

const RegisterRow& row_number(std::size_t i) { return register_table()[i]; }

}  // namespace

std::span<const RegisterRow> register_table() {
  static const std::vector<RegisterRow> table = make_table();
  return table;
}

std::span<const AliasRow> alias_table() {
  static const std::array table{alias(pf::MRQC_ALIAS, pf::MRQC),     alias(pf::RETA_ALIAS, pf::RETA),
                                alias(pf::RSSRK_ALIAS, pf::RSSRK),   alias(pf::RAL_ALIAS, pf::RAL),
                                alias(pf::RAH_ALIAS, pf::RAH),       alias(pf::PSRTYPE_ALIAS, pf::PSRTYPE),
                                alias(pf::SRRCTL_ALIAS, pf::SRRCTL), alias(pf::DCA_RXCTRL_ALIAS, pf::DCA_RXCTRL),
                                alias(pf::PBACL_ALIAS, pf::PBACL)};
  return table;
}

RegisterFile::RegisterFile()
    : entries_((kInternalBase + kInternalBytes) / 4), words_((kInternalBase + kInternalBytes) / 4) {
  for (std::uint32_t i = 0; i < entries_.size(); ++i) entries_[i].offset = 4 * i;
  const auto table = register_table();
  for (std::size_t r = 1; r < table.size(); ++r) {
    for (std::uint32_t i = 0; i < table[r].count; ++i) {
      const std::uint32_t at = table[r].at(i);
      Entry& entry = entries_[at / 4];
      check(entry.row == 0);  // two rows for one offset
      entry = {static_cast<std::uint16_t>(r), static_cast<std::uint16_t>(i), at, Entry::words};
      if (table[r].effect == Effect::rx_ring) {
        entry.lies = Entry::rx_ring;
        entry.offset = at - pf::RDBAL.at(i);
      } else if (table[r].effect == Effect::tx_ring) {
        entry.lies = Entry::tx_ring;
        entry.offset = at - pf::TDBAL.at(i);
      }
    }
  }
  for (const AliasRow& a : alias_table()) {
    for (std::uint32_t i = 0; i < a.count; ++i) {
      Entry& entry = entries_[a.from(i) / 4];
      check(entry.row == 0);
      entry = entries_[a.to(i) / 4];
    }
  }
  for (std::uint32_t q = 0; q < pf::kQueues; ++q) {
    bind_rx(q, nullptr);
    bind_tx(q, nullptr);
  }
  apply_reset(true);
}

RegisterFile::Hit RegisterFile::classify(std::uint32_t offset) const noexcept {
  const Entry& entry = entries_[offset / 4];
  return {row_number(entry.row).effect, entry.index};
}

std::uint32_t RegisterFile::read(std::uint32_t offset) noexcept {
  const Entry& entry = entries_[offset / 4];
  std::uint32_t* const cell = cell_of(offset);
  switch (row_number(entry.row).behaviour) {
    case reserved:
    case write_only:
    case ones_set_partner:
    case ones_clear_partner:  // EIMC reads 0; PFVFLREC reads what is pending (X540 and later), which PfFunction adds.
      return 0;
    case read_clears:
    case read_and_1_clear: {
      const std::uint32_t value = load(cell);
      store(cell, 0);
      return value;
    }
    case semaphore: {
      const std::uint32_t value = load(cell);
      store(cell, value | 1);
      return value;
    }
    case plain:
    case read_only:
    case write_1_clears:
    case ones_set:
      break;
  }
  return load(cell);
}

void RegisterFile::write(std::uint32_t offset, std::uint32_t value) noexcept {
  const Entry& entry = entries_[offset / 4];
  const RegisterRow& row = row_number(entry.row);
  std::uint32_t* const cell = cell_of(offset);
  const auto partner = [&] { return cell_of(row.partner(entry.index)); };
  switch (row.behaviour) {
    case plain:
      store(cell, (load(cell) & ~row.writable) | (value & row.writable));
      return;
    case semaphore:
      store(cell, value);
      return;
    case write_1_clears:
    case read_and_1_clear:
      store(cell, load(cell) & ~value);
      return;
    case ones_set:
      store(cell, load(cell) | value);
      return;
    case ones_clear_partner:
      store(partner(), load(partner()) & ~value);
      return;
    case ones_set_partner:
      store(partner(), load(partner()) | value);
      return;
    case reserved:
    case read_only:
    case read_clears:
    case write_only:
      return;
  }
}

void RegisterFile::reset() noexcept { apply_reset(false); }

void RegisterFile::apply_reset(bool power_up) noexcept {
  for (const RegisterRow& row : register_table().subspan(1)) {
    if (!power_up && row.on_reset == keeps) continue;
    for (std::uint32_t i = 0; i < row.count; ++i) poke(row.at(i), row.reset_value);
  }
  // Only packet buffer 0 has a size after reset: 512 KiB receive, 160 KiB transmit.
  set(pf::RXPBSIZE, 0, 0x200u << Pbsize::kib_shift);
  set(pf::TXPBSIZE, 0, 0xA0u << Pbsize::kib_shift);
  set(pf::TXPBTHRESH, 0, 0x96);
  // RAL[0] and RAH[0] come from the EEPROM: a locally administered address, ours.
  set(pf::RAL, 0, 0x82'00'00'02);
  set(pf::RAH, 0, Rah::av | 0x90'59);
}

}  // namespace vigia::softnic
