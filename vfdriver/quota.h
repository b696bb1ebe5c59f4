// SPDX-License-Identifier: Apache-2.0
// RAW files within a quota: the oldest go.
#pragma once

#include <cstdint>
#include <filesystem>
#include <future>
#include <string_view>
#include <vector>

namespace vigia::vf {

// The oldest RAW files of that capture, of all its queues, that must go so that `room` more bytes fit the quota. Of
// several queues (lanes) that are stored side by side the last file of each stays: it may be open.
std::vector<std::filesystem::path> surplus_files(const std::filesystem::path& directory, std::string_view name,
                                                 std::uint64_t quota, std::uint64_t room, unsigned lanes = 1);

// Deletes on a thread of its own: a file system that tells its disk what is free took a third of a second for a file of
// 2 GiB, in which a fast capture fills its ring. Until then the files hold more than the quota. A single thread uses
// it.
class Quota {
 public:
  // bytes 0: no limit.
  explicit Quota(std::uint64_t bytes) : bytes_(bytes) {}

  // Begins to make room, when the last time is done. Logs how many files go.
  void make_room(const std::filesystem::path& directory, std::string_view name, std::uint64_t room, unsigned lanes = 1);
  // From make_room() that deletes until wait().
  bool busy() const { return removal_.valid(); }
  void wait();

 private:
  std::uint64_t bytes_;
  std::future<void> removal_;  // its destructor waits
};

}  // namespace vigia::vf
