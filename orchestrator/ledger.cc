// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>

#include "hw/accounts.h"

namespace vigia::orch {
namespace {

// What one turn of softnic's or an engine's loop may have moved before it books: bursts of up to 256 frames, four
// mirror copies each. A killed process may be wrong by that much; more is a fault of its own.
constexpr std::int64_t kMostUnbooked = 1024;

std::uint64_t known(const Counters& accounts, const std::string& name) {
  const auto found = accounts.find(name);
  return found == accounts.end() ? 0 : found->second;
}

std::string vf_name(unsigned vf) { return fmt::format("vf{}", vf); }

// Collects lines, looks accounts up, remembers what could not be seen.
class Book {
 public:
  explicit Book(const LedgerInput& input) : input_(input) {}

  Term softnic(const std::string& account) { return term(input_.softnic, account, account); }
  Term party(const Party& party, std::string_view account) {
    return term(party.counters, std::string(account), fmt::format("{}.{}", party.name, account));
  }
  Term sum_of_pools(std::string_view account, const std::string& shown) {
    Term total{shown, 0};
    for (unsigned p = 0; p <= input_.vfs; ++p) {
      const std::string pool = p == input_.vfs ? "pf" : vf_name(p);
      const Term one = softnic(fmt::format("{}.{}", pool, account));
      if (!one.frames) return {shown, std::nullopt};
      *total.frames += *one.frames;
    }
    return total;
  }

  // A line whose numbers all come from processes that ended in an orderly way: it holds or it does not.
  Line& strict(int stage, std::string where, Term left, std::vector<Term> right) {
    Line line{stage, std::move(where), std::move(left), std::move(right)};
    judge(line);
    ledger_.lines.push_back(std::move(line));
    return ledger_.lines.back();
  }

  // The same, when a process that kept one side died. What it held is booked on the right under in_flight, what it had
  // done but not yet booked on the left under unbooked, so that the sum closes and the reader sees why.
  void after_death(int stage, std::string where, Term left, std::vector<Term> right, const std::string& in_flight,
                   const std::string& unbooked, std::int64_t most_in_flight) {
    Line& line = strict(stage, std::move(where), std::move(left), std::move(right));
    if (line.verdict != Verdict::fails) return;
    if (line.missing > 0 && line.missing <= most_in_flight) {
      close(line, in_flight, static_cast<std::uint64_t>(line.missing));
    } else if (line.missing < 0 && line.missing >= -kMostUnbooked) {
      const auto behind = static_cast<std::uint64_t>(-line.missing);
      ledger_.accounts[unbooked] += behind;
      line.left = {fmt::format("{} + {}", line.left.account, unbooked), *line.left.frames + behind};
      judge(line);
    }
  }

  void book(const std::string& account, std::uint64_t frames) { ledger_.accounts[account] = frames; }
  void remark(std::string text) { ledger_.remarks.push_back(std::move(text)); }
  Ledger finish();

 private:
  Term term(const std::optional<Counters>& counters, const std::string& key, const std::string& shown) {
    if (counters) {
      if (const auto found = counters->find(key); found != counters->end()) {
        ledger_.accounts[shown] = found->second;
        return {shown, found->second};
      }
    }
    if (std::find(ledger_.unknown.begin(), ledger_.unknown.end(), shown) == ledger_.unknown.end()) {
      ledger_.unknown.push_back(shown);
    }
    return {shown, std::nullopt};
  }

  static void judge(Line& line) {
    bool known = line.left.frames.has_value();
    std::uint64_t sum = 0;
    for (const Term& t : line.right) {
      known = known && t.frames;
      sum += t.frames.value_or(0);
    }
    line.verdict = Verdict::unknown;
    if (!known) return;
    line.missing = static_cast<std::int64_t>(*line.left.frames - sum);
    line.verdict = line.missing == 0 ? Verdict::holds : Verdict::fails;
  }

  void close(Line& line, const std::string& account, std::uint64_t frames) {
    ledger_.accounts[account] += frames;
    line.right.push_back({account, frames});
    judge(line);
  }

  const LedgerInput& input_;
  Ledger ledger_;
};

Ledger Book::finish() {
  ledger_.balanced = true;
  for (const Line& line : ledger_.lines) {
    if (line.verdict == Verdict::holds) continue;
    ledger_.balanced = false;
    if (line.verdict == Verdict::fails) {
      ledger_.remarks.push_back(fmt::format("{}: {} and the sum of its accounts differ by {} frames", line.where,
                                            line.left.account, line.missing));
    }
  }
  return std::move(ledger_);
}

// --- The stages -----------------------------------------------------------------------------------------------------

using Names = std::initializer_list<std::string_view>;

// What the 82599's packet buffer of 512 KiB can hold of the smallest frames (reference 82599, section 1).
constexpr std::int64_t kMostBuffered = 512 * 1024 / 64;

// A line of softnic's own counters: after its death at most one turn of its loop is not booked, and what its packet
// buffer held is gone.
void softnic_line(Book& book, const LedgerInput& input, int stage, std::string where, Term left,
                  std::vector<Term> right) {
  if (input.softnic_fate == Fate::died) {
    book.after_death(stage, std::move(where), std::move(left), std::move(right), "softnic.in_flight_at_death",
                     "softnic.unbooked_at_death", kMostUnbooked + kMostBuffered);
  } else {
    book.strict(stage, std::move(where), std::move(left), std::move(right));
  }
}

std::vector<Term> softnic_terms(Book& book, Names names) {
  std::vector<Term> terms;
  for (const auto name : names) terms.push_back(book.softnic(std::string(name)));
  return terms;
}

void wire_stage(Book& book, const LedgerInput& input) {
  const Term sent = book.softnic("wire.sent");
  if (input.prepared) {
    const std::uint64_t done = std::min(sent.frames.value_or(0), *input.prepared);
    const std::uint64_t rest = *input.prepared - done;
    if (sent.frames) book.book("wire.not_sent", rest);
    book.strict(0, "traffic", {"traffic.prepared", *input.prepared},
                {sent, {"wire.not_sent", sent.frames ? std::optional(rest) : std::nullopt}});
  }
  softnic_line(book, input, 1, "wire", sent,
               softnic_terms(book, {"wire.accepted", "wire.filtered_l2", "wire.filtered_vlan", "wire.filtered_oversize",
                                    "wire.filtered_disabled", "wire.missed"}));
}

void switch_stage(Book& book, const LedgerInput& input) {
  softnic_line(book, input, 2, "switch", book.softnic("wire.accepted"),
               softnic_terms(book, {"switch.routed", "switch.no_pool", "buffer.left"}));
  softnic_line(book, input, 2, "switch", book.softnic("switch.copies"),
               {book.sum_of_pools("copies", "copies of all pools")});
  softnic_line(book, input, 2, "switch", book.softnic("switch.mirror_copies"),
               {book.sum_of_pools("mirror_copies", "mirror copies of all pools")});
}

std::string pool_title(const LedgerInput& input, const std::string& pool) {
  for (const Party& party : input.parties) {
    if (vf_name(party.vf) == pool) return fmt::format("{} ({})", pool, party.name);
  }
  return pool;
}

void pool_stage(Book& book, const LedgerInput& input) {
  for (unsigned p = 0; p <= input.vfs; ++p) {
    const std::string pool = p == input.vfs ? "pf" : vf_name(p);
    const auto of = [&](std::string_view account) { return book.softnic(fmt::format("{}.{}", pool, account)); };
    softnic_line(book, input, 3, pool_title(input, pool), of("copies"),
                 {of("written"), of("no_descriptor"), of("queue_disabled"), of("dma_fault")});
  }
}

using Queue = std::optional<unsigned>;

// "agent", or "agent@1" for one of its queues.
std::string place_of(const Party& party, Queue queue) {
  return queue ? fmt::format("{}@{}", party.name, *queue) : party.name;
}

// Of the engine or the store, each of which may be one for all queues: then it has no accounts of their own.
unsigned queues_of(const Party& party, std::string_view account) {
  unsigned queues = 0;
  while (party.counters && party.counters->contains(hw::accounts::of_lane(account, queues))) ++queues;
  return queues;
}

bool has(const Party& party, std::string_view account) {
  return party.counters && party.counters->contains(std::string(account));
}

// A line between a party's own accounts, or between softnic's and the party's.
void party_line(Book& book, const LedgerInput& input, const Party& party, int stage, Term left, std::vector<Term> right,
                std::string_view in_flight, Queue queue = {}) {
  const bool crosses = stage == 4;  // left is softnic's
  const std::string where = place_of(party, queue);
  if (party.fate == Fate::died) {
    // Whatever lay in its ring and its buffers went with it: no bound but the sum itself.
    book.after_death(stage, where, std::move(left), std::move(right), fmt::format("{}.{}", where, in_flight),
                     fmt::format("{}.unbooked_at_death", where), INT64_MAX);
  } else if (crosses && input.softnic_fate == Fate::died) {
    book.after_death(stage, where, std::move(left), std::move(right), "softnic.in_flight_at_death",
                     "softnic.unbooked_at_death", kMostUnbooked);
  } else {
    book.strict(stage, where, std::move(left), std::move(right));
  }
}

// A duplicate is an arrival that repeats a recent one; whether the mirrors explain it is what the capture was told of
// them, or what we know of the NIC.
void remark_duplicates(Book& book, const LedgerInput& input, const Party& party) {
  if (!party.counters) return;
  const auto of = [&](std::string_view account) { return known(*party.counters, std::string(account)); };
  if (has(party, "engine.copy_predicted")) {
    book.remark(hw::accounts::copies_sentence(party.name, of("engine.copy_predicted"), of("engine.copy_unpredicted"),
                                              of("engine.copy_missing"), of("engine.copy_open")));
  } else if (of("engine.duplicate") > 0 && input.nic) {
    // What the rules of an 82599 predict is always the same: a pool gets one copy of a frame, however many rules want
    // it there (reference 82599, section 9), and with loopback off, where a switch outside could send a VF's frame
    // back, no rule mirrors what a VF sends (pfdriver/taps.cc).
    book.remark(
        fmt::format("{} left out {} frames on wish, duplicates of others (engine.duplicate); no mirror rule of "
                    "this NIC delivers a frame twice, so they came twice over the wire or were sent twice",
                    party.name, of("engine.duplicate")));
  }
}

// Where the frames come from: written by the software NIC, or seen by a port that counts for itself.
void port_stage(Book& book, const LedgerInput& input, const Party& party) {
  const auto of = [&](std::string_view account) { return book.party(party, account); };
  if (input.nic) {
    Term written = book.softnic(vf_name(party.vf) + ".written");
    if (party.written_before > 0 && written.frames) {
      written = {fmt::format("{} since {} came up", written.account, party.name),
                 *written.frames - std::min(*written.frames, party.written_before)};
    }
    party_line(book, input, party, 4, std::move(written), {of("engine.taken"), of("engine.left_in_ring")},
               "in_flight_at_death");
  }
  if (input.nic && !has(party, hw::accounts::kPortOffered)) return;
  party_line(book, input, party, 4, of(hw::accounts::kPortOffered),
             {of(hw::accounts::kPortDropped), of("engine.taken"), of("engine.left_in_ring")}, "in_port_at_death");
}

void engine_line(Book& book, const LedgerInput& input, const Party& party, Queue queue = {}) {
  const auto of = [&](std::string_view account) { return book.party(party, hw::accounts::of_lane(account, queue)); };
  party_line(book, input, party, 5, of("engine.taken"),
             {of("engine.duplicate"), of("engine.shed"), of("engine.ring_full"), of("engine.appended")},
             "in_engine_at_death", queue);
}

// Each duplicate is explained by the mirrors or not. Those kept with a mark have no account of all of them.
void copies_line(Book& book, const LedgerInput& input, const Party& party) {
  for (const auto& account : hw::accounts::kCopies) (void)book.party(party, account.name);
  if (known(*party.counters, "engine.duplicate") == 0) return;
  const auto of = [&](std::string_view account) { return book.party(party, account); };
  party_line(book, input, party, 5, of("engine.duplicate"),
             {of("engine.copy_predicted"), of("engine.copy_unpredicted")}, "duplicates_at_death");
}

// From the ring to the disk.
void store_lines(Book& book, const LedgerInput& input, const Party& party, Queue queue = {}) {
  const auto of = [&](std::string_view account) { return book.party(party, hw::accounts::of_lane(account, queue)); };
  party_line(book, input, party, 6, of("engine.appended"), {of("store.read"), of("store.lapped"), of("store.unread")},
             "unread_at_death", queue);
  party_line(book, input, party, 7, of("store.read"), {of("store.stored"), of("store.disk_dropped")},
             "in_store_at_death", queue);
}

// How the queues share what all of them took.
void sharing_line(Book& book, const Party& party, unsigned queues) {
  std::vector<Term> shares;
  for (unsigned q = 0; q < queues; ++q) shares.push_back(book.party(party, hw::accounts::of_lane("engine.taken", q)));
  book.strict(4, party.name, book.party(party, "engine.taken"), std::move(shares));
}

void party_stages(Book& book, const LedgerInput& input, const Party& party) {
  port_stage(book, input, party);
  if (!party.agent) return;
  remark_duplicates(book, input, party);
  const unsigned engines = queues_of(party, "engine.taken");
  if (engines > 0) sharing_line(book, party, engines);
  engine_line(book, input, party);
  for (unsigned q = 0; q < engines; ++q) engine_line(book, input, party, q);
  if (has(party, "engine.copy_predicted")) copies_line(book, input, party);
  if (!party.stores) return;
  store_lines(book, input, party);
  const unsigned stores = queues_of(party, "store.read");
  for (unsigned q = 0; q < stores; ++q) store_lines(book, input, party, q);
  if (party.in_file) {
    const std::string name = party.name + ".in_file";
    book.book(name, *party.in_file);
    party_line(book, input, party, 7, book.party(party, "store.stored"), {{name, *party.in_file}},
               "unwritten_at_death");
  }
}

void transmit_stage(Book& book, const LedgerInput& input) {
  softnic_line(book, input, 8, "transmit", book.softnic("tx.sent"),
               {book.sum_of_pools("tx_sent", "sent by all functions")});
  softnic_line(book, input, 8, "transmit", book.softnic("tx.sent"),
               softnic_terms(book, {"tx.wire_only", "tx.local_only", "tx.wire_and_local", "tx.nowhere", "tx.spoofed",
                                    "tx.refused", "tx.malformed"}));
  softnic_line(book, input, 8, "transmit", book.sum_of_pools("tx_dropped", "dropped of all functions"),
               softnic_terms(book, {"tx.spoofed", "tx.refused", "tx.malformed"}));
}

// --- The sentence ---------------------------------------------------------------------------------------------------

std::string loss_sentence(std::string_view where, std::string_view account, std::uint64_t frames,
                          std::string_view meaning, std::string_view split = {}) {
  return fmt::format("{} is the first stage that loses: {} = {} frames{}. {}", where, account, frames, split, meaning);
}

// Frames without a receiver beyond those that were meant to have none.
std::optional<std::string> wire_loss(const Counters& accounts, const LedgerInput& input) {
  for (const char* account :
       {"wire.filtered_disabled", "wire.filtered_oversize", "wire.filtered_vlan", "wire.missed"}) {
    if (const auto n = known(accounts, account)) {
      return loss_sentence("The wire", account, n, hw::accounts::meaning_of(account));
    }
  }
  const std::uint64_t homeless = known(accounts, "wire.filtered_l2") + known(accounts, "switch.no_pool");
  if (homeless > input.unmatched) {
    return loss_sentence("The switch", "wire.filtered_l2 + switch.no_pool - unmatched", homeless - input.unmatched,
                         "These frames were meant for a tenant and no filter accepted them.");
  }
  return std::nullopt;
}

std::optional<std::string> pool_loss(const Counters& accounts, const LedgerInput& input) {
  for (unsigned p = 0; p <= input.vfs; ++p) {
    const std::string pool = p == input.vfs ? "pf" : vf_name(p);
    for (const char* account : {"no_descriptor", "queue_disabled", "dma_fault"}) {
      const std::string name = fmt::format("{}.{}", pool, account);
      if (const auto n = known(accounts, name)) {
        return loss_sentence(pool_title(input, pool), name, n, hw::accounts::meaning_of(name));
      }
    }
  }
  return std::nullopt;
}

struct DeathAccount {
  std::string_view name, meaning;
};
constexpr std::array kDeathAccounts{
    DeathAccount{"in_flight_at_death", "They were in its receive ring when it died."},
    DeathAccount{"in_port_at_death", "They were in its port when it died."},
    DeathAccount{"in_engine_at_death", "They were between receive ring and capture ring when it died."},
    DeathAccount{"unread_at_death", "They were in its capture ring, not yet read by the store, when it died."},
    DeathAccount{"in_store_at_death", "They were in the store's buffers when it died."},
    DeathAccount{"unwritten_at_death", "They had been handed to the file and had not reached it when it died."},
};

// " (queue 1: 120)": which of several it was; empty when there is one.
std::string by_queue(const Party& party, std::string_view account) {
  std::string text;
  for (unsigned q = 0; q < queues_of(party, account); ++q) {
    const auto n = known(*party.counters, hw::accounts::of_lane(account, q));
    if (n > 0) text += fmt::format("{}queue {}: {}", text.empty() ? " (" : ", ", q, n);
  }
  return text.empty() ? text : text + ")";
}

std::optional<std::string> party_loss(const Counters& accounts, const Party& party) {
  for (const char* account : {"port.dropped", "engine.left_in_ring", "engine.shed", "engine.ring_full", "store.lapped",
                              "store.unread", "store.disk_dropped"}) {
    const std::string name = fmt::format("{}.{}", party.name, account);
    if (const auto n = known(accounts, name)) {
      return loss_sentence(party.name, name, n, hw::accounts::meaning_of(account), by_queue(party, account));
    }
  }
  for (const DeathAccount& account : kDeathAccounts) {
    const std::string name = fmt::format("{}.{}", party.name, account.name);
    if (const auto n = known(accounts, name)) return loss_sentence(party.name, name, n, account.meaning);
  }
  return std::nullopt;
}

std::string first_loss(const Counters& accounts, const LedgerInput& input, bool all_seen) {
  if (const auto n = known(accounts, "wire.not_sent")) {
    return loss_sentence("The traffic", "wire.not_sent", n, "The run ended before the wire had sent them.");
  }
  if (input.nic) {
    if (auto loss = wire_loss(accounts, input)) return *loss;
    if (auto loss = pool_loss(accounts, input)) return *loss;
  }
  for (const Party& party : input.parties) {
    if (auto loss = party_loss(accounts, party)) return *loss;
  }
  if (const auto n = known(accounts, "tx.wire_refused")) {
    return loss_sentence("The cable", "tx.wire_refused", n, hw::accounts::meaning_of("tx.wire_refused"));
  }
  return all_seen && input.nic ? "No stage loses a frame." : "No stage that can be seen loses a frame.";
}

// Softnic also counts bytes, times and a flag; the ledger is about frames.
bool counts_frames(std::string_view name) {
  return !name.ends_with("_bytes") && !name.ends_with("_ns") && name != "wire.done";
}

void remark_fates(Book& book, const LedgerInput& input) {
  const auto about = [&](std::string_view name, Fate fate, bool counters) {
    if (fate == Fate::died) book.remark(fmt::format("{} died; its numbers stand where it was hit", name));
    if (fate == Fate::running)
      book.remark(fmt::format("{} is still running; sums may be off by what is on its way", name));
    if (!counters) book.remark(fmt::format("the counters of {} cannot be seen", name));
  };
  if (input.nic) {
    about("softnic", input.softnic_fate, input.softnic.has_value());
  } else {
    book.remark("what becomes of a frame before it comes to the port cannot be seen from here");
  }
  for (const Party& party : input.parties) about(party.name, party.fate, party.counters.has_value());
}

}  // namespace

std::string_view fate_name(Fate fate) {
  return fate == Fate::running ? "running" : fate == Fate::stopped ? "stopped" : "died";
}

std::optional<Fate> parse_fate(std::string_view name) {
  for (const Fate fate : {Fate::running, Fate::stopped, Fate::died}) {
    if (name == fate_name(fate)) return fate;
  }
  return std::nullopt;
}

std::string_view verdict_name(Verdict verdict) {
  return verdict == Verdict::holds ? "holds" : verdict == Verdict::fails ? "does not" : "unknown";
}

Ledger make_ledger(const LedgerInput& input) {
  Book book(input);
  remark_fates(book, input);
  if (input.softnic) {
    for (const auto& [name, value] : *input.softnic) {
      if (counts_frames(name)) book.book(name, value);
    }
  }
  if (input.nic) {
    wire_stage(book, input);
    switch_stage(book, input);
    pool_stage(book, input);
  }
  for (const Party& party : input.parties) party_stages(book, input, party);
  if (input.nic) transmit_stage(book, input);
  Ledger ledger = book.finish();
  ledger.first_loss = first_loss(ledger.accounts, input, ledger.unknown.empty());
  return ledger;
}

std::optional<std::uint64_t> lost_for_agent(const LedgerInput& input, const Party& agent) {
  if (!input.softnic || !agent.counters) return std::nullopt;
  const auto copies = input.softnic->find(vf_name(agent.vf) + ".copies");
  const auto stored = agent.counters->find(agent.stores ? "store.stored" : "engine.appended");
  if (copies == input.softnic->end() || stored == agent.counters->end()) return std::nullopt;
  // What was left out on wish is not lost.
  const std::uint64_t kept = agent.in_file.value_or(stored->second) + known(*agent.counters, "engine.duplicate");
  return copies->second > kept ? copies->second - kept : 0;
}

}  // namespace vigia::orch
