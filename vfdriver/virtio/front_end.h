// SPDX-License-Identifier: Apache-2.0
// The front end of a vhost-user connection: what a virtual machine monitor would be. Speaks, and believes no answer's
// length.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "hw/dma_memory.h"
#include "hw/fd.h"
#include "hw/result.h"
#include "hw/virtio/ring.h"
#include "hw/virtio/vhost_user.h"

namespace vigia::vf::virtio {

// One ring, as the back end is told of it.
struct RingSetup {
  unsigned index = 0, size = 0;
  const std::byte* memory = nullptr;  // hw::virtio::parts_of(size, packed)
  bool packed = false;
  int kick = -1, call = -1;
};

class FrontEnd {
 public:
  // Connects; every answer later has to come within 5 s.
  static Result<FrontEnd> connect(const std::filesystem::path& socket);

  // What the back end offers. Then set_features() with a subset, once.
  Result<std::uint64_t> features();
  Result<Done> set_features(std::uint64_t features);
  // Negotiates the protocol's own features; only where features() has vhost_user_protocol.
  Result<Done> negotiate_protocol();
  // The only memory that the back end may use; guest_address is where descriptors find it.
  Result<Done> share(const hw::DmaMemory& memory, hw::Iova guest_address);
  // Starts a ring that nothing was taken from yet.
  Result<Done> start_ring(const RingSetup& ring);
  // The back end writes nothing more into that ring's buffers when this returns.
  Result<Done> stop_ring(unsigned index);

  // False once the back end has closed the connection or died.
  bool connected() const noexcept;

 private:
  FrontEnd(Fd fd, std::string name) : socket_(std::move(fd)), name_(std::move(name)) {}

  using Bytes = std::span<const std::byte>;
  Result<Done> send(hw::vhost_user::Request request, Bytes payload, std::span<const int> fds, std::uint32_t flags);
  Result<Done> receive(hw::vhost_user::Request request, std::span<std::byte> payload);
  // A request whose effect is acknowledged where the back end can.
  template <class Payload>
  Result<Done> tell(hw::vhost_user::Request request, const Payload& payload, std::span<const int> fds = {});
  template <class Answer, class Payload>
  Result<Answer> ask(hw::vhost_user::Request request, const Payload& payload);
  Error refused(hw::vhost_user::Request request, const std::string& why) const;

  Fd socket_;
  std::string name_;
  bool acknowledges_ = false;
};

}  // namespace vigia::vf::virtio
