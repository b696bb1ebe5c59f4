// SPDX-License-Identifier: Apache-2.0
// The RAW store: the ring's own bytes, block by block, without a copy. Block b of the stream is written from the ring's
// memory to offset b * kBlockBytes - base of the file. The ring is padded where a full file ends, so files begin with a
// record; one that begins elsewhere (by time, behind a gap) begins with padding in place of what is not its own. The
// position of the listener stays at the oldest block that is not on its way through the kernel yet.
#include <fmt/core.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <thread>
#include <utility>

#include "hw/log.h"
#include "vfdriver/aligned_bytes.h"
#include "vfdriver/block_queue.h"
#include "vfdriver/clock_notes.h"
#include "vfdriver/quota.h"
#include "vfdriver/raw_files.h"
#include "vfdriver/ring_walk.h"
#include "vfdriver/store.h"

namespace vigia::vf {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

namespace {

// How late an abandoned store notices it while the disk is slow.
constexpr std::chrono::milliseconds kLongestWait{100};
constexpr std::chrono::milliseconds kFlushEvery{200};
// Unit of O_DIRECT writes that every disk accepts.
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kRoomToGoOn = 4 * kBlockBytes;  // less is full again before it is worth an attempt

class RawStore final : public Store {
 public:
  RawStore(RingReader reader, RawStoreOptions options, const hw::CounterFile& counters);

  // Opens the next file, for the stream from position `base` on; its first record begins at `first`.
  Result<Done> open_file(std::uint64_t base, RingPoint first);
  // The disk refuses from the start.
  void begin_without_disk(Error error) { fail({}, std::move(error)); }

  void run() override;
  // Whoever ends the machine next finds all of it on the disk.
  Result<Done> finish(const CaptureSummary&) override {
    note_clock();
    const auto synced = sync_file_system(options_.directory);
    return failure_ ? Result<Done>(*failure_) : synced;
  }
  std::optional<Error> failure() const override { return failure_; }
  const fs::path& path() const noexcept override { return options_.directory; }

 private:
  // A block on its way to the disk.
  struct Block {
    std::shared_ptr<RawFile> file;
    std::uint64_t file_base = 0;
    std::uint64_t start = 0;            // stream position
    RingPoint first;                    // first record that begins in it
    std::uint64_t complete_frames = 0;  // index behind the last frame that ends in it
  };

  bool step();
  bool take_completion(std::chrono::microseconds wait);
  void begin_block();
  void settle(const Block& block, int error);
  bool find_file(Block& block);
  void write_open_block(const RingPoint& end, bool last);
  // Relaxed: the position that was acquired came after it.
  bool marks_in_ring() const { return ring_.header().marked.load(std::memory_order_relaxed) != 0; }
  bool rotation_due(const RingPoint& end);
  void rotate(const RingPoint& end);
  std::optional<IndexEntry> index_of(const Block& block, std::uint64_t end) const;
  void fail(const Block& block, Error error);
  void lapped(const Block& block);
  void end_file_before(const Block& missing);
  void begin_next_file_at(std::uint64_t base, const RingPoint& first);
  void note_clock();
  void discard(bool all);
  void try_again();
  void tell(std::uint64_t open_frames = 0, std::uint64_t open_bytes = 0);

  RingReader reader_;
  const RingMemory& ring_;
  const std::chrono::microseconds nap_ = nap_beside(ring_.geometry());  // when there is nothing to do
  const RawStoreOptions options_;
  const std::string name_ = options_.lanes > 1 ? queue_name(options_.name, options_.lane) : options_.name;
  const std::uint64_t segment_bytes_;
  BlockQueue queue_;
  std::deque<Block> blocks_;  // in queue_, same order
  AlignedBytes bounce_;       // for blocks that are not written as they lie in the ring
  std::shared_ptr<RawFile> file_;
  std::uint64_t file_base_ = 0;  // stream position of offset 0 of the file, or of the next one if there is none
  RingPoint file_first_;         // its first record, less than a block behind that
  steady_clock::time_point file_begun_ = steady_clock::now();
  std::uint64_t number_ = 0;  // of the last file
  bool told_buffered_ = false;
  HomeDisk home_;
  Quota quota_;
  std::uint64_t next_ = 0;          // start of the next block
  std::uint64_t open_written_ = 0;  // end of what is on disk of the block that is still growing
  std::uint64_t file_end_ = 0;      // offset behind what was given to the disk of the file
  steady_clock::time_point last_flush_ = steady_clock::now();
  std::uint64_t stored_ = 0, stored_bytes_ = 0, dropped_ = 0;
  std::optional<Error> failure_;  // nothing is written while it is there
  std::string told_;
  steady_clock::time_point failed_;
};

RawStore::RawStore(RingReader reader, RawStoreOptions options, const hw::CounterFile& counters)
    : Store(counters, options.lanes > 1 ? std::optional(options.lane) : std::nullopt),
      reader_(std::move(reader)),
      ring_(reader_.memory()),
      options_(std::move(options)),
      segment_bytes_(ring_.geometry().segment_bytes),
      queue_({ring_.data(), ring_.geometry().data_bytes}),
      bounce_(allocate_aligned(kBlockBytes + kPage, kPage)),
      quota_(options_.quota) {
  describe(options_.description);
  check(reader_.point().position == 0 && ring_.geometry().mark_bytes == kBlockBytes);
  tell_queue(queue_.asynchronous(), queue_.registered());
  if (!queue_.shortfall().empty()) log::info("{}: {}", options_.directory.string(), queue_.shortfall());
}

Result<Done> RawStore::open_file(std::uint64_t base, RingPoint first) {
  if (auto ok = home_.check_still_there(options_.directory); !ok) return ok;
  std::error_code failed;
  fs::create_directories(options_.directory, failed);
  if (failed) return os_error("create directory " + options_.directory.string(), failed.value());
  // A disk that came late may hold files already.
  if (first_file() == 0) number_ = last_number(options_.directory, name_);
  // Blocks in flight may not show in the size of a file that grows.
  const std::uint64_t hidden = file_ && !file_->reserved() ? blocks_.size() * kBlockBytes : 0;
  quota_.make_room(options_.directory, options_.name, options_.lanes * segment_bytes_ + hidden, options_.lanes);
  const std::uint64_t bytes = segment_bytes_ - base % segment_bytes_;
  auto file = RawFile::create(options_.directory, name_, number_ + 1, bytes, first.frame);
  if ((!file || !file->reserved()) && quota_.busy()) {
    // What goes may be the space that is needed.
    quota_.wait();
    if (file) file->cut(0);
    file = RawFile::create(options_.directory, name_, number_ + 1, bytes, first.frame);
  }
  if (!file) return file.error();
  ++number_;
  tell_file(file->direct(), file->reserved());
  if (!file->direct() && !std::exchange(told_buffered_, true)) {
    log::info("{}: this file system refuses O_DIRECT; files go through the page cache, which costs CPU time and memory",
              options_.directory.string());
  }
  if (first_file() == 0) {
    tell_first_file(number_);
    (void)home_.check_still_there(options_.directory);  // remembers it
  }
  note_clock();  // of the file before: with the error bound as it is now
  file_ = std::make_shared<RawFile>(std::move(*file));
  file_base_ = base;
  note_clock();
  file_first_ = first;
  file_end_ = 0;
  file_begun_ = steady_clock::now();
  return Done{};
}

void RawStore::run() {
  while (!abandoned() && step()) {
  }
  while (!queue_.empty() && !failure_) take_completion(kLongestWait);
  if (!failure_) write_open_block(ring_.published(), true);
  if (file_) file_->end_at(file_end_);
  if (failure_ && !abandoned()) discard(true);
  quota_.wait();
  tell();
}

// False: the stream has ended and only the open block is left.
bool RawStore::step() {
  if (take_completion({})) return true;
  // closed() before published(): what is published after it, nothing, cannot be missed.
  const bool closed = ring_.closed();
  const RingPoint end = ring_.published();
  if (failure_) {
    discard(closed);
    if (closed) return false;
    try_again();
    std::this_thread::sleep_for(nap_);
    return true;
  }
  if (!closed && rotation_due(end)) {
    if (queue_.empty()) {
      rotate(end);
    } else {
      take_completion(kLongestWait);
    }
    return true;
  }
  if (end.position >= next_ + kBlockBytes && !queue_.full()) {
    begin_block();
    return true;
  }
  if (!queue_.empty()) {
    take_completion(queue_.full() ? std::chrono::microseconds(kLongestWait) : nap_);
    return true;
  }
  if (closed) return false;
  const auto now = steady_clock::now();
  if (now - last_flush_ >= kFlushEvery) {
    write_open_block(end, false);
    last_flush_ = now;
  }
  std::this_thread::sleep_for(nap_);
  return true;
}

bool RawStore::take_completion(std::chrono::microseconds wait) {
  int error = 0;
  if (!queue_.next(error, wait)) return false;
  const Block block = std::move(blocks_.front());
  blocks_.pop_front();
  settle(block, error);
  return true;
}

// The file that the block goes to, opened if need be, and where its first record begins. False: failed.
bool RawStore::find_file(Block& block) {
  const bool full = file_ && next_ % segment_bytes_ == 0 && next_ != file_base_;
  if (!file_ || full) {
    // Behind a full file the stream is padded: the first record is the block's.
    if (auto ok = open_file(next_, full ? block.first : file_first_); !ok) {
      // What is on its way to the file before has nothing to do with it.
      while (!queue_.empty() && !failure_) take_completion(kLongestWait);
      if (!failure_) fail({}, ok.error());
      return false;
    }
    block.file = file_;
    block.file_base = file_base_;
  }
  if (next_ == file_base_) block.first = file_first_;
  return true;
}

void RawStore::begin_block() {
  Block block{file_, file_base_, next_, {}, 0};
  RingPoint after;
  if (!ring_.read_mark(next_ / kBlockBytes, block.first) || !ring_.read_mark(next_ / kBlockBytes + 1, after))
    return lapped(block);
  const std::uint64_t end = next_ + kBlockBytes;
  if (!file_ && end % segment_bytes_ == 0 && !first_frame(ring_, file_first_.position, end)) {
    // The file before ended behind its segment's last frame: no file for the padding that came after.
    if (!reader_.intact()) return lapped(block);
    reader_.advance(end - reader_.point().position, 0);
    begin_next_file_at(end, after);
    return;
  }
  // A record that crosses the end of the block ends in the next one.
  block.complete_frames = after.frame - (after.position > end ? 1 : 0);
  if (!find_file(block)) return;
  const std::byte* data = ring_.data() + next_ % ring_.geometry().data_bytes;
  // What comes before the file's first record is not its own: padding takes its place.
  if (const std::uint64_t foreign = next_ == file_base_ ? block.first.position - next_ : 0; foreign > 0) {
    copy_while_written(bounce_.get() + foreign, data + foreign, kBlockBytes - foreign);
    write_padding(bounce_.get(), foreign);
    data = bounce_.get();
  }
  queue_.submit(file_->fd(), data, kBlockBytes, next_ - file_base_);
  blocks_.push_back(std::move(block));
  next_ = end;
  open_written_ = end;
  file_end_ = end - file_base_;
}

void RawStore::settle(const Block& block, int error) {
  if (error != 0) return fail(block, os_error("write " + block.file->path().string(), error));
  const std::uint64_t end = block.start + kBlockBytes;
  const bool padded = end % segment_bytes_ == 0 || marks_in_ring();
  const std::uint64_t padding = padded ? padding_between(ring_, block.first.position, end) : 0;
  const auto index = index_of(block, end);
  // Only now: padding and index were read from the ring too.
  if (!reader_.intact()) return lapped(block);
  if (index) block.file->add_index(*index);
  const RingPoint before = reader_.point();
  const std::uint64_t frames = block.complete_frames - before.frame;
  reader_.advance(end - before.position, frames);
  stored_ += frames;
  stored_bytes_ += end - before.position - padding - frames * kRecordHeader;
  tell();
}

// The first frame that begins in the block before `end`.
std::optional<IndexEntry> RawStore::index_of(const Block& block, std::uint64_t end) const {
  const auto frame = first_frame(ring_, block.first.position, end);
  if (!frame) return std::nullopt;
  return IndexEntry{frame->ns, frame->position - block.file_base, block.first.frame};
}

// The block that is still growing goes to disk as it is, up to `end`, closed by padding. Unless it is the file's last
// one, the whole block overwrites it later. Nothing is in flight.
void RawStore::write_open_block(const RingPoint& end, bool last) {
  if (end.position <= next_ || (!last && end.position == open_written_)) return;
  if (end.position - next_ >= kBlockBytes) return;  // abandoned with whole blocks unread
  if (next_ == file_base_ && end.position <= file_first_.position) return;
  Block block{file_, file_base_, next_, {}, end.frame};
  if (!ring_.read_mark(next_ / kBlockBytes, block.first)) return lapped(block);
  if (!find_file(block)) return;
  const std::uint64_t foreign = next_ == file_base_ ? block.first.position - next_ : 0;
  const std::uint64_t used = end.position - next_;
  copy_while_written(bounce_.get() + foreign, ring_.data() + (next_ + foreign) % ring_.geometry().data_bytes,
                     used - foreign);
  if (foreign > 0) write_padding(bounce_.get(), foreign);
  std::uint64_t left = (kPage - used % kPage) % kPage;
  if (left > 0 && left < kRecordHeader) left += kPage;
  write_padding(bounce_.get() + used, left);
  const auto index = last ? index_of(block, end.position) : std::nullopt;
  if (!reader_.intact()) return lapped(block);
  if (const int error = write_fully(file_->fd(), bounce_.get(), used + left, next_ - file_base_); error != 0)
    return fail(block, os_error("write " + file_->path().string(), error));
  open_written_ = end.position;
  file_end_ = next_ - file_base_ + used + left;
  const std::uint64_t frames = end.frame - reader_.point().frame;
  const std::uint64_t padding = marks_in_ring() ? padding_between(ring_, block.first.position, end.position) : 0;
  const std::uint64_t bytes = end.position - reader_.point().position - padding - frames * kRecordHeader;
  if (last) {
    if (index) file_->add_index(*index);
    reader_.advance(end.position - reader_.point().position, frames);
    stored_ += frames;
    stored_bytes_ += bytes;
    tell();
  } else {
    tell(frames, bytes);
  }
}

void RawStore::note_clock() {
  const CaptureDescription description = this->description();
  if (!file_ || description.comment.empty()) return;
  if (auto noted = write_notes(file_->path(), description); !noted) log::warning("{}", noted.error().text);
}

bool RawStore::rotation_due(const RingPoint& end) {
  if (options_.rotate.count() == 0 || !file_ || steady_clock::now() - file_begun_ < options_.rotate) return false;
  if (next_ % segment_bytes_ == 0 && next_ != file_base_) return false;  // full: ends anyway
  const std::uint64_t first = next_ == file_base_ ? file_first_.position : file_base_;
  if (end.position > first) return true;
  file_begun_ = steady_clock::now();  // no frame in all that time: the file waits for one
  return false;
}

// Ends the file before the first record of block next_, or behind the last one that is there. Nothing is in flight.
void RawStore::rotate(const RingPoint& end) {
  RingPoint at = end;
  if (end.position >= next_ + kBlockBytes && !ring_.read_mark(next_ / kBlockBytes, at))
    return lapped({file_, file_base_, next_, {}, 0});
  if (at.position < next_ || !file_can_begin(next_, at) || at.position <= file_first_.position) {
    // Some frames more, then it will do.
    if (end.position >= next_ + kBlockBytes) {
      begin_block();
    } else {
      std::this_thread::sleep_for(nap_);
    }
    return;
  }
  write_open_block(at, true);
  if (failure_ || !file_) return;
  file_->end_at(file_end_);
  note_clock();
  file_.reset();
  begin_next_file_at(next_, at);
}

void RawStore::begin_next_file_at(std::uint64_t base, const RingPoint& first) {
  next_ = file_base_ = base;
  file_first_ = first;
  open_written_ = first.position;
}

// Also takes back what was on its way behind that.
void RawStore::end_file_before(const Block& missing) {
  int ignored = 0;
  while (!queue_.empty()) queue_.next(ignored, kLongestWait);
  for (const Block& block : blocks_) block.file->cut(block.start - block.file_base);
  blocks_.clear();
  if (missing.file) missing.file->cut(missing.start - missing.file_base);
  file_.reset();
}

void RawStore::fail(const Block& block, Error error) {
  end_file_before(block);
  failure_ = std::move(error);
  failed_ = steady_clock::now();
  // The same refusal again and again is one message.
  const bool again = failure_->text == told_;
  told_ = failure_->text;
  failure_->text += fmt::format(
      "; {} frames are stored, those that follow are counted as store.disk_dropped; {}", stored_,
      options_.retry.count() == 0 ? std::string("free space and start again")
                                  : fmt::format("the disk is tried again every {} ms", options_.retry.count()));
  set_problem(failure_->text);
  if (!again) log::error("{}", failure_->text);
  discard(false);
}

// Goes on in a new file from the landmark at which discard() stopped.
void RawStore::try_again() {
  const auto now = steady_clock::now();
  if (options_.retry.count() == 0 || now - failed_ < options_.retry) return;
  failed_ = now;
  struct statvfs disk {};
  if (::statvfs(options_.directory.c_str(), &disk) == 0 && disk.f_bavail * disk.f_frsize < kRoomToGoOn) return;
  const std::uint64_t block = reader_.point().position / kBlockBytes, base = block * kBlockBytes;
  const std::uint64_t foreign = reader_.point().position - base;
  RingPoint mark;
  // A landmark without room for a padding header before it: the next one will do.
  if (!file_can_begin(base, reader_.point())) return;
  if (!ring_.read_mark(block, mark) || mark.position != base + foreign) return;
  if (auto ok = open_file(base, mark); !ok) return fail({}, ok.error());
  next_ = base;
  open_written_ = base;
  failure_.reset();
  set_problem({});
  log::info("{}: the disk takes data again; {} frames were dropped meanwhile", options_.directory.string(), dropped_);
}

// The ring came round before the block was on disk: the file ends before it, a new one begins at a landmark ahead.
void RawStore::lapped(const Block& block) {
  end_file_before(block);
  RingPoint mark;
  std::uint64_t base = 0;
  // Ends with the first landmark that leaves room for a padding header before it; the writer makes new ones all the
  // time, and half a ring of them is there already.
  for (std::uint64_t tries = 0;; ++tries) {
    const std::uint64_t end = ring_.published().position;
    const std::uint64_t b = (end - std::min(end, ring_.geometry().data_bytes / 2)) / kBlockBytes + tries % 2;
    if (!ring_.read_mark(b, mark) || mark.position <= reader_.point().position) continue;
    base = b * kBlockBytes;
    if (file_can_begin(base, mark)) break;
  }
  reader_.jump(mark);
  begin_next_file_at(base, mark);
  tell();
}

// Up to the last landmark only, from where files can begin; all: to the end.
void RawStore::discard(bool all) {
  RingPoint end = ring_.published();
  const RingPoint at = reader_.point();
  if (!all) {
    RingPoint mark;
    const bool there = ring_.read_mark(end.position / kBlockBytes, mark) && mark.position <= end.position;
    if (!there || mark.position < at.position) return;
    end = mark;
  }
  dropped_ += end.frame - at.frame;
  reader_.advance(end.position - at.position, end.frame - at.frame);
  tell();
}

void RawStore::tell(std::uint64_t open_frames, std::uint64_t open_bytes) {
  const std::uint64_t stored = stored_ + open_frames;
  const std::uint64_t unread = reader_.unread().frame;
  count({stored + dropped_, reader_.gap().frames, unread - std::min(unread, open_frames), stored,
         stored_bytes_ + open_bytes, dropped_});
}

}  // namespace

Result<std::unique_ptr<Store>> create_raw_store(RingReader reader, const RawStoreOptions& options,
                                                const hw::CounterFile& counters) {
  const std::uint64_t file_bytes = reader.memory().geometry().segment_bytes;
  if (options.quota != 0 && options.quota < 2 * options.lanes * file_bytes) {
    return input_error(
        fmt::format("quota {}: must hold at least two files of {} bytes{}; raise it or lower --file-size",
                    options.quota, file_bytes, options.lanes > 1 ? " for each queue" : ""));
  }
  auto store = std::make_unique<RawStore>(std::move(reader), options, counters);
  // The first file now: a directory that cannot be written is found before the capture begins.
  if (auto ok = store->open_file(0, {}); !ok) {
    if (options.retry.count() == 0) return ok.error();
    store->begin_without_disk(ok.error());
  }
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace vigia::vf
