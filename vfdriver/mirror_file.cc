// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/mirror_file.h"

#include <sys/stat.h>
#include <time.h>

#include <utility>

namespace vigia::vf {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::int64_t ns_of(const timespec& t) { return t.tv_sec * kSecond + t.tv_nsec; }

// Files of the future, where clocks were set back, are not young.
bool is_young(std::int64_t modified_ns) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t age = ns_of(now) - modified_ns;
  return age >= 0 && age < std::chrono::nanoseconds(MirrorFile::kYoung).count();
}

}  // namespace

MirrorFile::Stamp MirrorFile::stamp() const {
  struct stat st {};
  if (::stat(file_.c_str(), &st) != 0) return {};
  return {st.st_dev, st.st_ino, static_cast<std::uint64_t>(st.st_size), ns_of(st.st_mtim)};
}

std::optional<Result<MirrorRules>> MirrorFile::look() {
  const Stamp now = stamp();
  if (seen_ == now) return std::nullopt;
  const bool young = is_young(now.modified_ns);
  std::string text = read_mirror_text(file_);
  auto rules = parse_mirror_rules(text, file_.string(), agent_, port_);
  if (!rules && young) return std::nullopt;
  if (!young) seen_ = now;
  if (text_ == text) return std::nullopt;
  text_ = std::move(text);
  if (rules && rules->vf) agent_ = rules->vf;
  return rules;
}

}  // namespace vigia::vf
