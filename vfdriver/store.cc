// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/store.h"

#include <chrono>
#include <thread>

#include "hw/accounts.h"
#include "hw/log.h"

namespace vigia::vf {
namespace {

constexpr std::size_t kPiece = 4096;  // frames
// What a killed store loses at most.
constexpr std::chrono::milliseconds kFlushEvery{200};

class FileStore final : public Store {
 public:
  FileStore(std::vector<RingReader> readers, std::unique_ptr<FrameWriter> writer, const hw::CounterFile& counters)
      : Store(counters, std::nullopt), reader_(std::move(readers)), writer_(std::move(writer)) {}

  void run() override {
    const auto nap = nap_beside(reader_.queue(0).memory().geometry());
    auto last_flush = std::chrono::steady_clock::now();
    while (!abandoned() && !reader_.broken()) {
      const bool idle = !write_piece();
      if (idle && reader_.finished()) break;
      if (idle) std::this_thread::sleep_for(nap);
      const auto now = std::chrono::steady_clock::now();
      if (now - last_flush < kFlushEvery) continue;
      writer_->flush();
      tell();
      last_flush = now;
    }
    writer_->flush();
    tell();
  }
  Result<Done> finish(const CaptureSummary& summary) override { return writer_->finish(summary); }
  std::optional<Error> failure() const override { return writer_->file().failure(); }
  const std::filesystem::path& path() const noexcept override { return writer_->file().path(); }

 private:
  bool write_piece() {
    if (writer_->write_from(reader_, kPiece) == 0) return false;
    tell();
    return true;
  }
  void tell() {
    const OutputFile& file = writer_->file();
    if (file.failure() && !complained_) {
      complained_ = true;
      log::error("{}", file.failure()->text);
      set_problem(file.failure()->text);
    }
    // What is still in the buffer counts as read only when it is in the file: read = stored + disk_dropped at any time.
    const std::uint64_t settled = file.frames_stored() + file.frames_refused();
    count({settled, reader_.gap().frames, reader_.unread().frame + reader_.frames_read() - settled,
           file.frames_stored(), file.bytes_stored(), file.frames_refused()});
  }

  MergedReader reader_;
  std::unique_ptr<FrameWriter> writer_;
  bool complained_ = false;
};

}  // namespace

Store::Store(const hw::CounterFile& counters, std::optional<unsigned> lane)
    : cells_([&] {
        const auto cell = [&](const char* name) { return counters.named(hw::accounts::of_lane(name, lane)); };
        return Cells{cell("store.read"),   cell("store.lapped"),       cell("store.unread"),
                     cell("store.stored"), cell("store.stored_bytes"), cell("store.disk_dropped")};
      }()) {}

void Store::count(const StoreTotals& totals) noexcept {
  cells_.read.set(totals.read);
  cells_.lapped.set(totals.lapped);
  cells_.unread.set(totals.unread);
  cells_.stored.set(totals.stored);
  cells_.stored_bytes.set(totals.stored_bytes);
  cells_.disk_dropped.set(totals.disk_dropped);
}

void Store::describe(CaptureDescription description) {
  const std::lock_guard lock(words_mutex_);
  description_ = std::move(description);
}

CaptureDescription Store::description() const {
  const std::lock_guard lock(words_mutex_);
  return description_;
}

void Store::tell_queue(bool asynchronous, bool registered) noexcept {
  asynchronous_.store(asynchronous, std::memory_order_relaxed);
  registered_.store(registered, std::memory_order_relaxed);
}

void Store::tell_file(bool direct, bool reserved) noexcept {
  files_.fetch_add(1, std::memory_order_relaxed);
  if (!direct) buffered_files_.fetch_add(1, std::memory_order_relaxed);
  if (!reserved) growing_files_.fetch_add(1, std::memory_order_relaxed);
}

StoreWay Store::way() const noexcept {
  return {asynchronous_.load(std::memory_order_relaxed), registered_.load(std::memory_order_relaxed),
          files_.load(std::memory_order_relaxed), buffered_files_.load(std::memory_order_relaxed),
          growing_files_.load(std::memory_order_relaxed)};
}

std::string Store::problem() const {
  const std::lock_guard lock(words_mutex_);
  return problem_;
}

void Store::set_problem(std::string text) {
  const std::lock_guard lock(words_mutex_);
  problem_ = std::move(text);
}

StoreTotals Store::totals() const noexcept {
  return {cells_.read.value(),   cells_.lapped.value(),       cells_.unread.value(),
          cells_.stored.value(), cells_.stored_bytes.value(), cells_.disk_dropped.value()};
}

Result<std::unique_ptr<Store>> create_file_store(std::vector<RingReader> readers, const std::filesystem::path& file,
                                                 FileFormat format, const CaptureDescription& description,
                                                 const hw::CounterFile& counters) {
  auto writer = create_capture_file(file, format, description);
  if (!writer) return writer.error();
  return std::unique_ptr<Store>(std::make_unique<FileStore>(std::move(readers), std::move(*writer), counters));
}

}  // namespace vigia::vf
