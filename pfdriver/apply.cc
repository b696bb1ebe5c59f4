// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/apply.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_pf.h"
#include "pfdriver/durable_file.h"

namespace vigia::pf {
namespace {

constexpr int kJournalVersion = 1;

// The device clears a pool's enables when its VF is reset, before we have heard of it.
bool cleared_by_reset(hw::Bar& bar, const Change& change, std::uint32_t read) {
  if (change.cell.field != Field::vfre && change.cell.field != Field::vfte) return false;
  const std::uint32_t missing = change.after & ~read, extra = read & ~change.after;
  return extra == 0 && (missing & ~bar.read(hw::ixgbe::pf::PFVFLRE, change.cell.index)) == 0;
}

Result<Done> write_and_check(hw::Bar& bar, const Change& change) {
  write_cell(bar, change.cell, change.after);
  const std::uint32_t read = read_cell(bar, change.cell);
  if (read == (change.after & info(change.cell.field).mask) || cleared_by_reset(bar, change, read)) return Done{};
  return work_error(fmt::format(
      "write {} ({}): wrote {:08x}, read back {:08x}; is another driver on this port, or has the device been reset?",
      change.cell.name(), info(change.cell.field).meaning, change.after, read));
}

std::string encode(std::span<const Change> changes) {
  auto list = nlohmann::json::array();
  for (const Change& change : changes) {
    list.push_back({{"field", info(change.cell.field).name},
                    {"index", change.cell.index},
                    {"before", change.before},
                    {"after", change.after}});
  }
  return nlohmann::json{{"vigia_pf_journal", kJournalVersion}, {"applying", std::move(list)}}.dump();
}

bool decode(const nlohmann::json& json, std::vector<Change>& out) {
  for (const auto& item : json.at("applying")) {
    Change change;
    unsigned f = 0;
    const auto name = item.at("field").get<std::string>();
    while (f < kFields && info(static_cast<Field>(f)).name != name) ++f;
    const auto index = item.at("index").get<std::uint64_t>();
    if (f == kFields || index >= info(static_cast<Field>(f)).count) return false;
    change.cell = {static_cast<Field>(f), static_cast<std::uint16_t>(index)};
    change.before = item.at("before").get<std::uint32_t>();
    change.after = item.at("after").get<std::uint32_t>();
    out.push_back(change);
  }
  return true;
}

// Each register holds what it held before or what it was to hold. A register may be in the list twice (a mirror rule is
// switched off, then on again): any of its values will do.
bool untouched_since(hw::Bar& bar, std::span<const Change> changes) {
  for (const Change& change : changes) {
    const std::uint32_t now = read_cell(bar, change.cell);
    const bool known = std::any_of(changes.begin(), changes.end(), [&](const Change& c) {
      return c.cell == change.cell && (c.before == now || c.after == now);
    });
    if (!known) return false;
  }
  return true;
}

}  // namespace

std::vector<Change> inverse(std::span<const Change> changes) {
  std::vector<Change> out;
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    out.push_back({change->cell, change->after, change->before});
  }
  return out;
}

Result<Done> apply_changes(hw::Bar& bar, std::span<const Change> changes) {
  for (std::size_t i = 0; i < changes.size(); ++i) {
    auto written = write_and_check(bar, changes[i]);
    if (written) continue;
    Error error = written.error();
    for (const Change& undo : inverse(changes.first(i + 1))) {
      if (auto undone = write_and_check(bar, undo); !undone) {
        error.text += "; taking it back failed as well: " + undone.error().text;
        return error;
      }
    }
    error.text += fmt::format("; the {} writes before it have been taken back", i);
    return error;
  }
  return Done{};
}

Result<Done> Journal::begin(std::span<const Change> changes) const {
  return file_.empty() ? Done{} : write_durably(file_, encode(changes));
}

Result<Done> Journal::finish() const {
  return file_.empty() ? Done{} : write_durably(file_, encode(std::span<const Change>{}));
}

Result<std::vector<Change>> Journal::interrupted() const {
  std::vector<Change> out;
  std::error_code ignored;
  if (file_.empty() || !std::filesystem::exists(file_, ignored)) return out;
  std::ifstream in(file_, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const Error foreign = input_error(
      fmt::format("journal {}: not a journal of vigia-pf; remove it, or name another with --journal", file_.string()));
  try {
    if (!json.is_object() || json.at("vigia_pf_journal") != kJournalVersion || !decode(json, out)) return foreign;
  } catch (const nlohmann::json::exception&) {
    return foreign;
  }
  return out;
}

Result<Done> apply_changes(hw::Bar& bar, std::span<const Change> changes, const Journal& journal) {
  if (changes.empty()) return Done{};
  if (auto begun = journal.begin(changes); !begun) return begun.error();
  if (auto applied = apply_changes(bar, changes); !applied) {
    // It took itself back, so nothing is left to recover; the first error is the one to tell.
    (void)journal.finish();
    return applied.error();
  }
  return journal.finish();
}

std::string_view text_of(Recovery recovery) {
  switch (recovery) {
    case Recovery::nothing:
      return "no change was interrupted";
    case Recovery::finished:
      return "a change that a crash interrupted has been finished";
    case Recovery::undone:
      return "a change that a crash interrupted could not be finished and has been taken back";
    case Recovery::stale:
      return "a change was interrupted, but the device has been reset since: nothing of it is left";
  }
  return "";
}

Result<Recovery> recover(hw::Bar& bar, const Journal& journal) {
  const auto changes = journal.interrupted();
  if (!changes) return changes.error();
  if (changes.value().empty()) return Recovery::nothing;
  Recovery result = Recovery::finished;
  const bool driven = (bar.read(hw::ixgbe::pf::CTRL_EXT) & hw::ixgbe::CtrlExt::drv_load) != 0;
  if (!driven || !untouched_since(bar, changes.value())) {
    result = Recovery::stale;
  } else if (!apply_changes(bar, changes.value())) {
    // All of it, for the crash may have come after more writes than this attempt made.
    for (const Change& undo : inverse(changes.value())) {
      if (auto undone = write_and_check(bar, undo); !undone) return undone.error();
    }
    result = Recovery::undone;
  }
  if (auto closed = journal.finish(); !closed) return closed.error();
  return result;
}

}  // namespace vigia::pf
