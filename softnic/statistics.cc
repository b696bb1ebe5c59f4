// SPDX-License-Identifier: Apache-2.0
#include "softnic/statistics.h"

#include <utility>

#include "hw/accounts.h"

namespace vigia::softnic {
namespace {

using namespace hw::ixgbe;
constexpr std::uint64_t kFcs = 4;  // octet counters run from the destination address through the FCS

unsigned counter_of(std::uint32_t map, unsigned queue) {
  return map >> Qsm::field_bits * (queue % 4) & Qsm::field_mask;
}

}  // namespace

Result<Statistics> Statistics::create(const std::filesystem::path& path, unsigned vfs) {
  auto file = hw::CounterFile::create(path, hw::accounts::softnic_names(vfs));
  if (!file) return file.error();
  return Statistics(std::move(*file), vfs);
}

Statistics::Statistics(hw::CounterFile file, unsigned vfs) : vfs_(vfs), file_(std::move(file)) {
  sent_ = file_.named("wire.sent");
  sent_bytes_ = file_.named("wire.sent_bytes");
  padded_ = file_.named("wire.padded");
  zero_filled_ = file_.named("wire.zero_filled");
  held_ns_ = file_.named("wire.held_ns");
  done_ = file_.named("wire.done");
  accepted_ = file_.named("wire.accepted");
  l2_ = file_.named("wire.filtered_l2");
  vlan_ = file_.named("wire.filtered_vlan");
  oversize_ = file_.named("wire.filtered_oversize");
  disabled_ = file_.named("wire.filtered_disabled");
  missed_ = file_.named("wire.missed");
  left_ = file_.named("buffer.left");
  routed_ = file_.named("switch.routed");
  no_pool_ = file_.named("switch.no_pool");
  copies_ = file_.named("switch.copies");
  mirror_copies_ = file_.named("switch.mirror_copies");
  tx_sent_ = file_.named("tx.sent");
  tx_wire_only_ = file_.named("tx.wire_only");
  tx_local_only_ = file_.named("tx.local_only");
  tx_both_ = file_.named("tx.wire_and_local");
  tx_nowhere_ = file_.named("tx.nowhere");
  tx_wire_refused_ = file_.named("tx.wire_refused");
  tx_spoofed_ = file_.named("tx.spoofed");
  tx_refused_ = file_.named("tx.refused");
  tx_malformed_ = file_.named("tx.malformed");
  for (unsigned f = 0; f <= vfs; ++f) {
    const std::string prefix = f < vfs ? "vf" + std::to_string(f) + "." : "pf.";
    const auto named = [&](const char* name) { return file_.named(prefix + name); };
    functions_.push_back({named("copies"), named("mirror_copies"), named("written"), named("written_bytes"),
                          named("no_descriptor"), named("queue_disabled"), named("dma_fault"), named("tx_sent"),
                          named("tx_dropped")});
  }
}

void Statistics::publish(PortTally& t, RegisterFile& registers) {
  sent_.add(t.sent);
  sent_bytes_.add(t.sent_bytes);
  held_ns_.add(t.held_ns);
  accepted_.add(t.accepted);
  // A frame below 60 bytes cannot come from a wire that pads; one that does anyway ends where the filters end it.
  l2_.add(t.l2 + t.undersize);
  vlan_.add(t.vlan);
  oversize_.add(t.oversize);
  disabled_.add(t.disabled);
  missed_.add(t.missed);
  routed_.add(t.routed);
  no_pool_.add(t.no_pool);
  const std::uint64_t dropped = t.tx_spoofed + t.tx_refused + t.tx_malformed;
  const std::uint64_t tx = t.tx_wire_only + t.tx_local_only + t.tx_both + t.tx_nowhere + dropped;
  if (tx != 0) {
    tx_sent_.add(tx);
    tx_wire_only_.add(t.tx_wire_only);
    tx_local_only_.add(t.tx_local_only);
    tx_both_.add(t.tx_both);
    tx_nowhere_.add(t.tx_nowhere);
    tx_wire_refused_.add(t.tx_wire_refused);
    tx_spoofed_.add(t.tx_spoofed);
    tx_refused_.add(t.tx_refused);
    tx_malformed_.add(t.tx_malformed);
  }
  publish_registers(t, registers);
  t = PortTally{};
}

void Statistics::publish_registers(const PortTally& t, RegisterFile& r) {
  if (t.sent != 0) {
    const std::uint64_t good = t.sent - t.oversize - t.undersize - t.disabled;
    r.add(pf::TPR, 0, t.sent);
    r.add36(pf::TORL, pf::TORH, 0, t.sent_bytes + kFcs * t.sent);
    r.add(pf::RXNFGPC, 0, good);
    r.add36(pf::RXNFGBCL, pf::RXNFGBCH, 0, t.sent_bytes + kFcs * t.sent);
    r.add(pf::ROC, 0, t.oversize);
    r.add(pf::RUC, 0, t.undersize);
    r.add(pf::RXMPC, 0, t.missed);
    r.add(pf::GPRC, 0, t.accepted);
    r.add36(pf::GORCL, pf::GORCH, 0, t.accepted_bytes + kFcs * t.accepted);
    r.add(pf::BPRC, 0, t.broadcast);
    r.add(pf::MPRC, 0, t.multicast);
    for (unsigned i = 0; i < t.sizes.size(); ++i) r.add(pf::PRC, i, t.sizes[i]);
  }
  r.add(pf::RXDDPC, 0, t.duplicates);
  if (t.loopback != 0) {
    r.add(pf::RXLPBKPC, 0, t.loopback);
    r.add36(pf::RXLPBKBCL, pf::RXLPBKBCH, 0, t.loopback_bytes + kFcs * t.loopback);
    r.add(pf::RXDLPBKPC, 0, t.loopback_duplicates);
  }
  r.add(pf::SSVPC, 0, t.spoofed_counted);
  if (t.tx_frames == 0) return;
  r.add(pf::TPT, 0, t.tx_frames);
  r.add(pf::GPTC, 0, t.tx_frames);
  r.add36(pf::GOTCL, pf::GOTCH, 0, t.tx_bytes + kFcs * t.tx_frames);
  r.add(pf::BPTC, 0, t.tx_broadcast);
  r.add(pf::MPTC, 0, t.tx_multicast);
  for (unsigned i = 0; i < t.tx_sizes.size(); ++i) r.add(pf::PTC, i, t.tx_sizes[i]);
}

void Statistics::publish_rx(unsigned queue, int vf, RxTally& t, RegisterFile& r) {
  Function& f = function_of(vf);
  copies_.add(t.copies());
  mirror_copies_.add(t.mirror);
  f.copies.add(t.copies());
  f.mirror_copies.add(t.mirror);
  f.written.add(t.written);
  f.written_bytes.add(t.bytes);
  f.no_descriptor.add(t.no_descriptor);
  f.queue_disabled.add(t.disabled);
  f.dma_fault.add(t.dma_fault);
  const unsigned i = counter_of(r.get(pf::RQSMR, queue / 4), queue);
  const std::uint64_t octets = t.bytes + kFcs * t.written;
  r.add(pf::QPRDC, i, t.no_descriptor);
  if (t.written != 0) {
    r.add(pf::QPRC, i, t.written);
    r.add36(pf::QBRC_L, pf::QBRC_H, i, octets);
    r.add(pf::RXDGPC, 0, t.written);
    r.add36(pf::RXDGBCL, pf::RXDGBCH, 0, octets);
    if (vf >= 0) {
      const auto pool = static_cast<unsigned>(vf);
      r.add(pf::VFGPRC, pool, t.written);
      r.add36(pf::VFGORC_LSB, pf::VFGORC_MSB, pool, octets);
      r.add(pf::VFMPRC, pool, t.multicast);
    }
  }
  t = RxTally{};
}

void Statistics::publish_tx(unsigned queue, int vf, TxTally& t, RegisterFile& r) {
  Function& f = function_of(vf);
  f.tx_sent.add(t.frames);
  f.tx_dropped.add(t.dropped);
  const unsigned i = counter_of(r.get(pf::TQSM, queue / 4), queue);
  const std::uint64_t good = t.frames - t.dropped, octets = t.bytes + kFcs * good;
  r.add(pf::QPTC, i, good);
  r.add36(pf::QBTC_L, pf::QBTC_H, i, octets);
  r.add(pf::TXDGPC, 0, good);
  r.add36(pf::TXDGBCL, pf::TXDGBCH, 0, octets);
  if (vf >= 0) {
    const auto pool = static_cast<unsigned>(vf);
    r.add(pf::VFGPTC, pool, good);
    r.add36(pf::VFGOTC_LSB, pf::VFGOTC_MSB, pool, octets);
  }
  t = TxTally{};
}

void Statistics::set_wire(std::uint64_t padded, std::uint64_t zero_filled, bool done, std::uint64_t left_in_buffer) {
  padded_.set(padded);
  zero_filled_.set(zero_filled);
  done_.set(done ? 1 : 0);
  left_.set(left_in_buffer);
}

}  // namespace vigia::softnic
