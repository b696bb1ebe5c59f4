// SPDX-License-Identifier: Apache-2.0
// A vhost-user back end for tests: serves a socket, maps the front end's memory, delivers frames.
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
#include "tests/vfdriver/fake_net_device.h"

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
    return rings_[0].enabled && map_ != nullptr && net_.deliver(frame);
  }
  unsigned interrupts() const { return interrupts_; }

 private:
  struct Ring {
    std::uint32_t size = 0;
    hw::vhost_user::VringAddress address{};
    bool enabled = false;
    Fd kick, call;
  };
  std::byte* inside(std::uint64_t address, std::uint64_t base, std::size_t bytes) {
    const std::uint64_t offset = address - base;
    check(offset <= table_.region.bytes && bytes <= table_.region.bytes - offset);
    return map_ + offset;
  }
  // The receive queue as it was described.
  FakeNetDevice::Ring described() {
    const Ring& r = rings_[0];
    namespace feature = hw::virtio::Feature;
    return {
        r.size,
        r.address.descriptors,
        r.address.available,
        r.address.used,
        (chosen_ & feature::packed_ring) != 0,
        (chosen_ & feature::event_index) != 0,
        [this](std::uint64_t address, std::size_t bytes) { return inside(address, table_.region.user_address, bytes); },
        [this](std::uint64_t address, std::size_t bytes) {
          return inside(address, table_.region.guest_address, bytes);
        },
        [this] { interrupt(rings_[0]); }};
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
        return answer(peer, header, hw::vhost_user::VringState{state.index, net_.taken()});
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
        if (state.index == 0) net_ = FakeNetDevice(described());
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
  FakeNetDevice net_;
  std::thread thread_;
};

}  // namespace vigia::vf::test
