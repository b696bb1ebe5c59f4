// SPDX-License-Identifier: Apache-2.0
// A vhost-user back end for tests: serves a socket, maps the front end's memory, delivers frames through the rings as
// the standard says (virtio 1.2, 2.7 and 2.8), and can be told to break the rules.
#pragma once

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "hw/fd.h"
#include "hw/fd_passing.h"
#include "hw/result.h"
#include "hw/unix_socket.h"
#include "hw/virtio/ring.h"
#include "hw/virtio/vhost_user.h"

namespace vigia::vf::test {

class FakeVhost {
 public:
  explicit FakeVhost(const std::filesystem::path& socket, std::uint64_t features) : features_(features) {
    auto listening = hw::listen_unix(socket, hw::Audience::owner);
    check(static_cast<bool>(listening));
    listening_ = std::move(*listening);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeVhost() {
    stop_ = true;
    thread_.join();
    unmap();
  }
  FakeVhost(const FakeVhost&) = delete;
  FakeVhost& operator=(const FakeVhost&) = delete;

  // Closes the connection and the socket: the back end has died.
  void die() { dead_ = true; }
  bool refuse_memory = false;  // answers the memory table with a failure

  // Writes a frame into as many buffers as it needs. False: there are too few, or the ring is not running.
  bool deliver(std::span<const std::byte> frame) {
    const std::lock_guard lock(mutex_);
    if (!rings_[0].enabled || map_ == nullptr) return false;
    const bool packed = (chosen_ & hw::virtio::Feature::packed_ring) != 0;
    return packed ? deliver_packed(frame) : deliver_split(frame);
  }
  unsigned interrupts() const { return interrupts_; }

 private:
  struct Ring {
    std::uint32_t size = 0;
    hw::vhost_user::VringAddress address{};
    bool enabled = false;
    Fd kick, call;
    std::uint16_t next = 0, used = 0;
    bool wrap = true, used_wrap = true;
  };
  static constexpr std::size_t kHeader = sizeof(hw::virtio::NetHeader);

  template <class T>
  T& at_user(std::uint64_t address) {
    const std::uint64_t offset = address - table_.region.user_address;
    check(offset + sizeof(T) <= table_.region.bytes);
    return *reinterpret_cast<T*>(map_ + offset);
  }
  std::byte* at_guest(std::uint64_t address, std::size_t bytes) {
    const std::uint64_t offset = address - table_.region.guest_address;
    check(offset + bytes <= table_.region.bytes);
    return map_ + offset;
  }
  static std::uint16_t acquire(std::uint16_t& word) { return std::atomic_ref(word).load(std::memory_order_acquire); }
  static void publish(std::uint16_t& word, std::uint16_t v) {
    std::atomic_ref(word).store(v, std::memory_order_release);
  }

  // Piece by piece: what fits into the buffer at address; the first has a header.
  std::uint32_t fill(std::uint64_t address, std::uint32_t room, std::span<const std::byte>& left, std::uint16_t pieces,
                     bool first) {
    std::byte* to = at_guest(address, room);
    std::uint32_t written = 0;
    if (first) {
      hw::virtio::NetHeader header{};
      header.buffers = pieces;
      std::memcpy(to, &header, kHeader);
      written = kHeader;
    }
    const std::size_t n = std::min<std::size_t>(room - written, left.size());
    std::memcpy(to + written, left.data(), n);
    left = left.subspan(n);
    return written + static_cast<std::uint32_t>(n);
  }
  static std::uint16_t pieces_of(std::size_t frame, std::uint32_t room) {
    return static_cast<std::uint16_t>((frame + kHeader + room - 1) / room);
  }

  bool deliver_split(std::span<const std::byte> frame) {
    Ring& r = rings_[0];
    const auto mask = static_cast<std::uint16_t>(r.size - 1);
    const std::uint16_t avail = acquire(at_user<std::uint16_t>(r.address.available + 2));
    const auto& first = at_user<hw::virtio::SplitDescriptor>(r.address.descriptors);
    const std::uint16_t pieces = pieces_of(frame.size(), first.length);
    if (static_cast<std::uint16_t>(avail - r.next) < pieces) return false;
    const std::uint16_t old = r.used;
    std::span<const std::byte> left = frame;
    for (std::uint16_t i = 0; i < pieces; ++i) {
      const std::uint16_t id = at_user<std::uint16_t>(r.address.available + 4 +
                                                      2 * std::uint64_t{static_cast<std::uint16_t>(r.next++ & mask)});
      const auto& d = at_user<hw::virtio::SplitDescriptor>(r.address.descriptors + 16 * std::uint64_t{id});
      check(d.flags == hw::virtio::DescriptorFlag::write);
      auto& element = at_user<hw::virtio::UsedElement>(r.address.used + 4 +
                                                       8 * std::uint64_t{static_cast<std::uint16_t>(r.used++ & mask)});
      element = {id, fill(d.address, d.length, left, pieces, i == 0)};
    }
    publish(at_user<std::uint16_t>(r.address.used + 2), r.used);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const bool event_index = (chosen_ & hw::virtio::Feature::event_index) != 0;
    const bool wanted =
        event_index
            ? hw::virtio::passed(acquire(at_user<std::uint16_t>(r.address.available + 4 + 2 * std::uint64_t{r.size})),
                                 r.used, old)
            : (acquire(at_user<std::uint16_t>(r.address.available)) & hw::virtio::kNoInterrupt) == 0;
    if (wanted) interrupt(r);
    return true;
  }

  bool deliver_packed(std::span<const std::byte> frame) {
    Ring& r = rings_[0];
    using hw::virtio::PackedDescriptor;
    namespace flag = hw::virtio::DescriptorFlag;
    const auto slot = [&](std::uint16_t i) -> PackedDescriptor& {
      return at_user<PackedDescriptor>(r.address.descriptors + 16 * std::uint64_t{i});
    };
    const auto there = [&](std::uint16_t i, bool wrap) {
      const std::uint16_t flags = acquire(slot(i).flags);
      return ((flags & flag::avail) != 0) == wrap && ((flags & flag::used) != 0) != wrap;
    };
    if (!there(r.next, r.wrap)) return false;
    const std::uint16_t pieces = pieces_of(frame.size(), slot(r.next).length);
    std::uint16_t look = r.next;
    bool look_wrap = r.wrap;
    for (std::uint16_t i = 0; i < pieces; ++i) {
      if (!there(look, look_wrap)) return false;
      if (++look == r.size) look = 0, look_wrap = !look_wrap;
    }
    // Used descriptors overwrite the available ones in place; the first one's flags last.
    const std::uint16_t first = r.next;
    const bool first_wrap = r.wrap;
    std::span<const std::byte> left = frame;
    for (std::uint16_t i = 0; i < pieces; ++i) {
      PackedDescriptor& d = slot(r.next);
      d.length = fill(d.address, d.length, left, pieces, i == 0);
      const std::uint16_t flags = r.wrap ? flag::avail | flag::used : 0;
      if (i > 0) publish(d.flags, flags);
      if (++r.next == r.size) r.next = 0, r.wrap = !r.wrap;
    }
    publish(slot(first).flags, first_wrap ? flag::avail | flag::used : 0);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    auto& wish = at_user<hw::virtio::EventSuppression>(r.address.available);
    if (acquire(wish.flags) != hw::virtio::kEventsOff) interrupt(r);
    return true;
  }

  void interrupt(Ring& r) {
    const std::uint64_t one = 1;
    ++interrupts_;
    check(::write(r.call.get(), &one, sizeof one) == sizeof one);
  }

  void serve() {
    Fd peer;
    while (!stop_) {
      if (dead_) {
        peer = Fd();
        listening_ = Fd();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      pollfd on{peer ? peer.get() : listening_.get(), POLLIN, 0};
      if (::poll(&on, 1, 5) <= 0) continue;
      if (!peer) {
        peer = Fd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        const std::lock_guard lock(mutex_);
        rings_ = std::array<Ring, 2>();
        acknowledges_ = false;
        continue;
      }
      if (!handle(peer)) peer = Fd();
    }
  }

  bool handle(Fd& peer) {
    using hw::vhost_user::Request;
    hw::vhost_user::Header header{};
    std::vector<Fd> fds;
    const auto got = hw::receive_with_fds(peer.get(), std::as_writable_bytes(std::span(&header, 1)), fds, MSG_WAITALL);
    if (got.bytes != sizeof header || header.bytes > 256) return false;
    std::array<std::byte, 256> payload{};
    if (header.bytes > 0 &&
        ::recv(peer.get(), payload.data(), header.bytes, MSG_WAITALL) != static_cast<ssize_t>(header.bytes))
      return false;
    const std::lock_guard lock(mutex_);
    std::uint64_t number = 0;
    std::memcpy(&number, payload.data(), sizeof number);
    hw::vhost_user::VringState state{};
    std::memcpy(&state, payload.data(), sizeof state);
    std::uint64_t failed = 0;
    switch (header.request) {
      case Request::get_features:
        return answer(peer, header, features_);
      case Request::get_protocol_features:
        return answer(peer, header, hw::vhost_user::Protocol::reply_ack);
      case Request::get_vring_base:
        rings_[state.index].enabled = false;
        return answer(peer, header, hw::vhost_user::VringState{state.index, rings_[state.index].next});
      case Request::set_features:
        chosen_ = number;
        break;
      case Request::set_protocol_features:
        if (number != 0) acknowledges_ = true;
        return true;
      case Request::set_mem_table:
        failed = refuse_memory || fds.size() != 1 ? 1 : 0;
        if (failed == 0) map(payload, fds[0]);
        break;
      case Request::set_vring_num:
        rings_[state.index] = Ring();
        rings_[state.index].size = state.value;
        break;
      case Request::set_vring_addr: {
        hw::vhost_user::VringAddress address;
        std::memcpy(&address, payload.data(), sizeof address);
        rings_[address.index].address = address;
        break;
      }
      case Request::set_vring_kick:
        rings_[number & 1].kick = std::move(fds.at(0));
        break;
      case Request::set_vring_call:
        rings_[number & 1].call = std::move(fds.at(0));
        break;
      case Request::set_vring_enable:
        rings_[state.index].enabled = state.value == 1;
        break;
      default:
        break;
    }
    if (!acknowledges_ || (header.flags & hw::vhost_user::Flag::need_reply) == 0) return true;
    return answer(peer, header, failed);
  }

  template <class T>
  bool answer(Fd& peer, hw::vhost_user::Header header, const T& value) {
    header.flags = hw::vhost_user::Flag::version | hw::vhost_user::Flag::reply;
    header.bytes = sizeof value;
    return hw::send_with_fds(peer.get(), std::as_bytes(std::span(&header, 1)), std::as_bytes(std::span(&value, 1)), {},
                             0) > 0;
  }
  void map(std::span<const std::byte> payload, const Fd& fd) {
    unmap();
    std::memcpy(&table_, payload.data(), sizeof table_);
    void* at = ::mmap(nullptr, table_.region.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    check(at != MAP_FAILED);
    map_ = static_cast<std::byte*>(at);
  }
  void unmap() {
    if (map_ != nullptr) ::munmap(map_, table_.region.bytes);
    map_ = nullptr;
  }

  const std::uint64_t features_;
  std::uint64_t chosen_ = 0;
  bool acknowledges_ = false;
  Fd listening_;
  std::atomic<bool> stop_{false}, dead_{false};
  std::atomic<unsigned> interrupts_{0};
  std::mutex mutex_;
  hw::vhost_user::MemoryTable table_{};
  std::byte* map_ = nullptr;
  std::array<Ring, 2> rings_;
  std::thread thread_;
};

}  // namespace vigia::vf::test
