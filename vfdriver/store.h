// SPDX-License-Identifier: Apache-2.0
// The listener that writes to disk (architecture 5.7). Two kinds: frame by frame into one file (pcapng), and whole
// blocks of the ring into files of fixed size (RAW).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hw/counter_file.h"
#include "hw/result.h"
#include "vfdriver/frame_writer.h"
#include "vfdriver/merged_reader.h"

namespace vigia::vf {

// The ledger's store.* accounts; frames, unless the name says bytes.
struct StoreTotals {
  std::uint64_t read = 0, lapped = 0, unread = 0, stored = 0, stored_bytes = 0, disk_dropped = 0;

  StoreTotals& operator+=(const StoreTotals& other) noexcept {
    read += other.read, lapped += other.lapped, unread += other.unread, stored += other.stored;
    stored_bytes += other.stored_bytes, disk_dropped += other.disk_dropped;
    return *this;
  }
};

// How the disk is written, for people and programs. Files are counted as they are begun.
struct StoreWay {
  bool asynchronous = false;         // io_uring
  bool registered = false;           // straight from memory that the kernel has pinned once
  std::uint64_t files = 0;           // RAW files
  std::uint64_t buffered_files = 0;  // of them: without O_DIRECT, which their file system refused
  std::uint64_t growing_files = 0;   // of them: without reserved space

  // Of several stores: what one of them does is said.
  StoreWay& operator+=(const StoreWay& other) noexcept {
    asynchronous |= other.asynchronous, registered |= other.registered;
    files += other.files, buffered_files += other.buffered_files, growing_files += other.growing_files;
    return *this;
  }
};

// One thread calls run(); the others ask.
class Store {
 public:
  virtual ~Store() = default;

  // Until the ring is closed and all of it is read, or abandon(). A full disk ends nothing: frames are then read and
  // counted as disk_dropped, one message is logged, and failure() tells.
  virtual void run() = 0;
  // Stop as soon as possible; what is unread is counted so. Any thread, signal handlers too.
  void abandon() noexcept { abandoned_.store(true, std::memory_order_relaxed); }

  // After run(): ends the file(s).
  virtual Result<Done> finish(const CaptureSummary& summary) = 0;
  // After run(): the refusal of the disk that nothing followed.
  virtual std::optional<Error> failure() const = 0;
  // What the operator will find: the file, or the directory.
  virtual const std::filesystem::path& path() const noexcept = 0;

  // Any thread.
  StoreTotals totals() const noexcept;
  // Any thread: what files that begin or end from now on say of themselves, where they have no summary at their end.
  void describe(CaptureDescription description);
  // Any thread: why nothing is stored at the moment, in words; empty while the disk takes what it is given.
  std::string problem() const;
  // Any thread. All zero for a store that writes frame by frame.
  StoreWay way() const noexcept;
  // Any thread: the number of the first RAW file that was created; 0: none yet, or another kind of store.
  std::uint64_t first_file() const noexcept { return first_file_.load(std::memory_order_relaxed); }

 protected:
  // lane: whose accounts these are, of several; empty: the only ones.
  Store(const hw::CounterFile& counters, std::optional<unsigned> lane);
  void count(const StoreTotals& totals) noexcept;
  bool abandoned() const noexcept { return abandoned_.load(std::memory_order_relaxed); }
  void set_problem(std::string text);
  CaptureDescription description() const;
  void tell_queue(bool asynchronous, bool registered) noexcept;
  void tell_file(bool direct, bool reserved) noexcept;
  void tell_first_file(std::uint64_t number) noexcept { first_file_.store(number, std::memory_order_relaxed); }

 private:
  struct Cells {
    hw::Counter read, lapped, unread, stored, stored_bytes, disk_dropped;
  };
  Cells cells_;
  std::atomic<bool> abandoned_{false};
  // Numbers for others, they order nothing; one writer.
  std::atomic<std::uint64_t> first_file_{0}, files_{0}, buffered_files_{0}, growing_files_{0};
  std::atomic<bool> asynchronous_{false}, registered_{false};
  mutable std::mutex words_mutex_;
  std::string problem_;
  CaptureDescription description_;
};

// Frame by frame into a file that is created here; of several rings in the order of their stamps.
Result<std::unique_ptr<Store>> create_file_store(std::vector<RingReader> readers, const std::filesystem::path& file,
                                                 FileFormat format, const CaptureDescription& description,
                                                 const hw::CounterFile& counters);

struct RawStoreOptions {
  std::filesystem::path directory;  // created if need be
  std::string name;         // files are NAME-00000001.raw, .idx, .json and so on; numbers go on after existing ones
  std::uint64_t quota = 0;  // bytes that the files of this name may take together; 0: no limit
  // How long after a refusal of the disk a new file is begun; 0: never, and creating the store needs a disk that works.
  std::chrono::milliseconds retry{0};
  std::chrono::milliseconds rotate{0};  // a file that holds something ends when it is that old; 0: only when it is full
  CaptureDescription description{};     // of the first files; describe() replaces it
  // One of several queues that are stored side by side: its files are NAME@1-00000001.raw and so on. The quota is that
  // of all of them.
  unsigned lane = 0, lanes = 1;
};

// Whole blocks, straight from the ring's memory. The reader is at the beginning of the stream, and the ring's landmarks
// are kBlockBytes apart.
Result<std::unique_ptr<Store>> create_raw_store(RingReader reader, const RawStoreOptions& options,
                                                const hw::CounterFile& counters);

}  // namespace vigia::vf
