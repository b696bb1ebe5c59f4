// SPDX-License-Identifier: Apache-2.0
#include "softnic/filter_decode.h"

#include "hw/ixgbe/descriptor.h"

namespace vigia::softnic {
namespace {

using namespace hw::ixgbe;

template <class R>
std::uint64_t pair_of(const RegisterFile& r, const R& reg, std::uint32_t low, std::uint32_t high) {
  return r.get(reg, low) | std::uint64_t{r.get(reg, high)} << 32;
}

void decode_acceptance(const RegisterFile& r, FilterTables& t) {
  const std::uint32_t fctrl = r.get(pf::FCTRL), vlnctrl = r.get(pf::VLNCTRL), mcstctrl = r.get(pf::MCSTCTRL);
  t.fctrl_upe = (fctrl & Fctrl::upe) != 0;
  t.fctrl_mpe = (fctrl & Fctrl::mpe) != 0;
  t.fctrl_bam = (fctrl & Fctrl::bam) != 0;
  t.vlan_filter = (vlnctrl & Vlnctrl::vfe) != 0;
  t.cfi_check = (vlnctrl & Vlnctrl::cfien) != 0;
  t.cfi = (vlnctrl & Vlnctrl::cfi) != 0;
  t.multicast_offset = static_cast<std::uint8_t>(mcstctrl & Mcstctrl::mo_mask);
  t.multicast_filter = (mcstctrl & Mcstctrl::mfe) != 0;
  // MAXFRS counts only with jumbo frames allowed; otherwise the Ethernet maximum holds.
  constexpr std::uint32_t kEthernetMaximum = 1518;
  t.max_frame = (r.get(pf::HLREG0) & Hlreg0::jumboen) != 0 ? r.get(pf::MAXFRS) >> Maxfrs::mfs_shift : kEthernetMaximum;
  for (std::uint32_t i = 0; i < 128; ++i) {
    t.mta[i] = r.get(pf::MTA, i);
    t.vfta[i] = r.get(pf::VFTA, i);
    t.uta[i] = r.get(pf::PFUTA, i);
    const std::uint32_t rah = r.get(pf::RAH, i);
    t.rar[i] = {(rah & Rah::av) != 0, r.get(pf::RAL, i) | std::uint64_t{rah & 0xffff} << 32,
                pair_of(r, pf::MPSAR, 2 * i, 2 * i + 1)};
  }
}

void decode_pools(const RegisterFile& r, FilterTables& t) {
  const std::uint32_t vt = r.get(pf::PFVTCTL);
  t.vt = (vt & Pfvtctl::vt_ena) != 0;
  t.replication = (vt & Pfvtctl::rpl_en) != 0;
  t.default_pool = static_cast<std::uint8_t>(vt >> Pfvtctl::def_pl_shift & 0x3f);
  t.default_pool_disabled = (vt & Pfvtctl::dis_def_pool) != 0;
  for (std::uint32_t p = 0; p < pf::kPools; ++p) {
    const std::uint32_t filter = r.get(pf::PFVML2FLT, p);
    const PoolMask bit = PoolMask{1} << p;
    if ((filter & Vmolr::aupe) != 0) t.aupe |= bit;
    if ((filter & Vmolr::rompe) != 0) t.rompe |= bit;
    if ((filter & Vmolr::rope) != 0) t.rope |= bit;
    if ((filter & Vmolr::bam) != 0) t.bam |= bit;
    if ((filter & Vmolr::mpe) != 0) t.mpe |= bit;
    t.vmvir[p] = r.get(pf::PFVMVIR, p);
    const std::uint32_t spoof = r.get(pf::PFVFSPOOF, p / 8);
    if ((spoof >> p % 8 & 1) != 0) t.mac_antispoof |= bit;
    if ((spoof >> (8 + p % 8) & 1) != 0) t.vlan_antispoof |= bit;
    const std::uint32_t vlvf = r.get(pf::PFVLVF, p);
    t.vlvf[p] = {(vlvf & Vlvf::vi_en) != 0, static_cast<std::uint16_t>(vlvf & Vlvf::vid_mask),
                 pair_of(r, pf::PFVLVFB, 2 * p, 2 * p + 1)};
  }
  // Pools beyond those of the VT mode have no queues.
  const unsigned pools = pf::kQueues / queues_per_pool(r);
  t.receive_enable = pair_of(r, pf::PFVFRE, 0, 1) & (~PoolMask{0} >> (pf::kPools - pools));
  t.transmit_enable = pair_of(r, pf::PFVFTE, 0, 1);
  t.own_loopback = pair_of(r, pf::PFVMTXSW, 0, 1);
  t.loopback = (r.get(pf::PFDTXGSWC) & Pfdtxgswc::lbe) != 0;
}

void decode_rules(const RegisterFile& r, FilterTables& t) {
  for (std::uint32_t i = 0; i < t.etqf.size(); ++i) {
    const std::uint32_t etqf = r.get(pf::ETQF, i);
    t.etqf[i] = {(etqf & Etqf::enable) != 0, (etqf & Etqf::pool_enable) != 0,
                 static_cast<std::uint16_t>(etqf & Etqf::ethertype_mask),
                 static_cast<std::uint8_t>((etqf & Etqf::pool_mask) >> Etqf::pool_shift)};
  }
  for (std::uint32_t i = 0; i < pf::kMirrorRules; ++i) {
    const std::uint32_t control = r.get(pf::PFMRCTL, i);
    t.mirror[i] = {(control & Mrctl::vpme) != 0,
                   (control & Mrctl::upme) != 0,
                   (control & Mrctl::dpme) != 0,
                   (control & Mrctl::vlme) != 0,
                   static_cast<std::uint8_t>((control & Mrctl::mp_mask) >> Mrctl::mp_shift),
                   pair_of(r, pf::PFMRVM, i, i + 4),
                   pair_of(r, pf::PFMRVLAN, i, i + 4)};
  }
}

std::array<std::uint8_t, 40> rss_key(const RegisterFile& r) {
  std::array<std::uint8_t, 40> key{};
  for (std::uint32_t i = 0; i < key.size(); ++i) {
    key[i] = static_cast<std::uint8_t>(r.get(pf::RSSRK, i / 4) >> 8 * (i % 4));
  }
  return key;
}

unsigned queues_of_mrqe(std::uint32_t mrqe) {
  switch (mrqe) {
    case Mrqc::vmdq_64:
    case Mrqc::vmdq_rss_64x2:
      return 2;
    case Mrqc::vmdq_rss_32x4:
    case Mrqc::vt_32x4tc:
      return 4;
    case Mrqc::vmdq_16x8tc:
      return 8;
    default:
      return 0;
  }
}

unsigned queues_of_mode(std::uint32_t mode) {
  return mode == VtMode::pools_64 ? 2 : mode == VtMode::pools_32 ? 4 : mode == VtMode::pools_16 ? 8 : 0;
}

}  // namespace

FilterTables decode_filters(const RegisterFile& registers) {
  FilterTables t;
  decode_acceptance(registers, t);
  decode_pools(registers, t);
  decode_rules(registers, t);
  t.index();
  return t;
}

unsigned queues_per_pool(const RegisterFile& registers) {
  const unsigned n = queues_of_mode(registers.get(pf::GCR_EXT) & GcrExt::vt_mode_mask);
  return n != 0 ? n : 2;
}

std::string_view vt_mode_conflict(const RegisterFile& registers) {
  if ((registers.get(pf::PFVTCTL) & Pfvtctl::vt_ena) == 0) return {};
  const unsigned mode = queues_of_mode(registers.get(pf::GCR_EXT) & GcrExt::vt_mode_mask);
  if (mode == 0) return "PFVTCTL.VT_ENA is set but GCR_EXT.VT_MODE is 0";
  if (mode != queues_of_mode((registers.get(pf::GPIE) & Gpie::vt_mode_mask) >> Gpie::vt_mode_shift)) {
    return "GPIE.VT_MODE differs from GCR_EXT.VT_MODE";
  }
  if (mode != queues_of_mrqe(registers.get(pf::MRQC) & Mrqc::mrqe_mask)) {
    return "MRQC.MRQE asks for another number of pools than GCR_EXT.VT_MODE";
  }
  return {};
}

QueueChoice::QueueChoice(const RegisterFile& r) : toeplitz_(rss_key(r)) {
  vt_ = (r.get(pf::PFVTCTL) & Pfvtctl::vt_ena) != 0;
  mrqc_ = r.get(pf::MRQC);
  const std::uint32_t mrqe = mrqc_ & Mrqc::mrqe_mask;
  rss_ = mrqe == Mrqc::rss || mrqe == Mrqc::vmdq_rss_32x4 || mrqe == Mrqc::vmdq_rss_64x2;
  traffic_classes_ = mrqe == Mrqc::vmdq_16x8tc || mrqe == Mrqc::vt_32x4tc;
  hash_in_descriptor_ = (r.get(pf::RXCSUM) & Rxcsum::pcsd) != 0;
  local_filters_ = (mrqc_ & Mrqc::l3l4txswen) != 0;
  // Without pools every queue is the PF's and RSS spreads over the first 16.
  per_pool_ = vt_ ? queues_per_pool(r) : pf::kQueues;
  up_to_tc_ = r.get(pf::RTRUP2TC);
  for (std::uint32_t i = 0; i < reta_.size(); ++i) {
    reta_[i] = static_cast<std::uint8_t>(r.get(pf::RETA, i / 4) >> 8 * (i % 4) & 0xf);
  }
  for (std::uint32_t p = 0; p < index_mask_.size(); ++p) {
    const std::uint32_t bits = r.get(pf::PSRTYPE, p) >> Psrtype::rqpl_shift;
    const std::uint32_t mask = (1u << bits) - 1;
    index_mask_[p] = static_cast<std::uint8_t>(vt_ ? mask & (per_pool_ - 1) : 0xf);
  }
  for (std::uint32_t i = 0; i < ethertype_.size(); ++i) {
    const std::uint32_t etqf = r.get(pf::ETQF, i), etqs = r.get(pf::ETQS, i);
    ethertype_[i] = {(etqf & Etqf::enable) != 0, (etqs & Etqs::queue_enable) != 0,
                     static_cast<std::uint16_t>(etqf & Etqf::ethertype_mask),
                     static_cast<std::uint8_t>(etqs >> Etqs::queue_shift & 0x7f)};
    any_ethertype_ = any_ethertype_ || ethertype_[i].enabled;
  }
}

QueueChoice::Parsed QueueChoice::parse(FrameBytes frame, const L2Key& l2) const {
  Parsed parsed;
  if (any_ethertype_) {
    for (std::size_t i = 0; i < ethertype_.size(); ++i) {
      if (!ethertype_[i].enabled || ethertype_[i].ethertype != l2.ethertype) continue;
      parsed.ethertype_filter = static_cast<std::int8_t>(i);
      parsed.word0 = PacketType::etqf | i << 4;
      return parsed;
    }
  }
  const L3Key l3 = parse_l3(frame, l2);
  parsed.word0 = l3.packet_type;
  if (rss_) {
    const RssResult rss = rss_hash(toeplitz_, mrqc_, l3);
    parsed.hash = rss.hash;
    if (hash_in_descriptor_) parsed.word0 |= rss.type | std::uint64_t{rss.hash} << 32;
  }
  return parsed;
}

unsigned QueueChoice::queue(unsigned pool, const L2Key& l2, std::uint32_t hash, std::int8_t ethertype_filter,
                            bool local) const noexcept {
  const unsigned first = pool * per_pool_;
  if (local && !local_filters_) return first;
  if (ethertype_filter >= 0) {
    const EthertypeFilter& filter = ethertype_[static_cast<std::size_t>(ethertype_filter)];
    if (filter.to_queue && filter.queue / per_pool_ == pool) return filter.queue;
    return first;
  }
  if (traffic_classes_) {
    const unsigned priority = l2.tagged ? l2.tci >> 13 : 0;
    return first + ((up_to_tc_ >> 3 * priority & 7) & (per_pool_ - 1));
  }
  return rss_ ? first + (reta_[hash & 127] & index_mask_[pool]) : first;
}

}  // namespace vigia::softnic
