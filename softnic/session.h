// SPDX-License-Identifier: Apache-2.0
// What one client may ask of one function: every vfio-user request checked and carried out. No sockets here.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "hw/result.h"
#include "softnic/function_model.h"
#include "softnic/message.h"

namespace vigia::softnic {

struct Reply {
  std::vector<std::byte> payload;
  int fd = -1;  // goes with the reply; not owned
};

class Session {
 public:
  // The model must outlive the session. Its regions are asked for once.
  explicit Session(FunctionModel& model);
  // The client is gone: the model is told, all that it announced is dropped.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Carries the request out and fills reply. An error's code is the errno for the client, its text is for our operator;
  // nothing is done then.
  Result<Done> handle(Message& message, Reply& reply);

 private:
  struct Rule;
  static const Rule* rule_for(std::uint16_t command);

  Result<Done> version(Message& message, Reply& reply);
  Result<Done> dma_map(Message& message, Reply& reply);
  Result<Done> dma_unmap(Message& message, Reply& reply);
  Result<Done> device_info(Message& message, Reply& reply);
  Result<Done> region_info(Message& message, Reply& reply);
  Result<Done> irq_info(Message& message, Reply& reply);
  Result<Done> set_irqs(Message& message, Reply& reply);
  Result<Done> region_read(Message& message, Reply& reply);
  Result<Done> region_write(Message& message, Reply& reply);
  Result<Done> region_write_multi(Message& message, Reply& reply);
  Result<Done> device_reset(Message& message, Reply& reply);

  Result<Done> check_access(std::uint32_t region, std::uint64_t offset, std::uint32_t count) const;
  unsigned irq_count(unsigned index) const;
  void assign(unsigned index, unsigned vector, Fd eventfd);

  FunctionModel& model_;
  std::vector<RegionLayout> regions_;
  bool negotiated_ = false;
  unsigned client_fds_ = 1;              // descriptors that the client takes in one message
  std::uint32_t client_transfer_ = 0;    // bytes of data that it takes
  std::array<Fd, 2> error_and_request_;  // eventfds of ERR and REQ: kept, never used (QEMU stops its guest on ERR)
};

}  // namespace vigia::softnic
