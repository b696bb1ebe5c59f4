// SPDX-License-Identifier: Apache-2.0
// The mailbox codec on words that a hostile VF or PF wrote: decoding never fails, and what is decoded and encoded again
// decodes the same.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "hw/ixgbe/mailbox.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vigia::hw;
  using namespace vigia::hw::ixgbe::mbx;
  Message m{};
  if (size != 0) std::memcpy(m.data(), data, size < sizeof m ? size : sizeof m);
  const auto expect = [](bool ok) {
    if (!ok) std::abort();
  };
  expect(!name_of(id_of(m[0])).empty());
  expect(!text_of(static_cast<Api>(m[1])).empty());

  Message again{};
  put_mac(again, get_mac(m));
  expect(get_mac(again) == get_mac(m) && (again[2] >> 16) == 0);
  for (unsigned mo = 0; mo < 5; ++mo) expect(multicast_hash(get_mac(m), mo) < 4096);

  expect(multicast_count(m) <= kMaxMulticastHashes);
  for (unsigned i = 0; i < multicast_count(m); ++i) {
    put_multicast_hash(again, i, multicast_hash_at(m, i));
  }
  for (unsigned i = 0; i < multicast_count(m); ++i) expect(multicast_hash_at(again, i) == multicast_hash_at(m, i));

  put_queues(again, get_queues(m));
  expect(again[1] == m[1] && again[2] == m[2] && again[3] == m[3] && again[4] == m[4]);
  again = m;
  put_reta(again, get_reta(m));
  put_rss_key(again, get_rss_key(m));
  expect(again == m);
  return 0;
}
