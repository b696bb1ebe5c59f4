// SPDX-License-Identifier: Apache-2.0
// The host's end of a channel for tests, frame by frame, and a service to talk to.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>

#include "hw/unix_socket.h"
#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/channel_server.h"

namespace vigia::vf {

struct ClientFrame {
  hw::channel::FrameType type;
  std::uint32_t id;
  std::string payload;
  nlohmann::json json() const { return nlohmann::json::parse(payload, nullptr, false); }
};

class ChannelClient {
 public:
  explicit ChannelClient(const std::filesystem::path& socket) : fd_(must(hw::connect_unix(socket, 20'000))) {}
  void send_bytes(std::string_view bytes) {
    ASSERT_EQ(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void send(std::uint32_t id, std::string_view json) {
    std::string out;
    hw::channel::append_frame(out, {hw::channel::FrameType::request, id, json});
    send_bytes(out);
  }
  // Nothing: hung up, or nothing came within the time.
  std::optional<ClientFrame> next(std::chrono::milliseconds time = std::chrono::seconds(20)) {
    for (;;) {
      if (const auto frame = parser_.next()) return ClientFrame{frame->type, frame->id, std::string(frame->payload)};
      pollfd readable{fd_.get(), POLLIN, 0};
      if (::poll(&readable, 1, static_cast<int>(time.count())) <= 0) return std::nullopt;
      char bytes[16384];
      const auto got = ::recv(fd_.get(), bytes, sizeof(bytes), 0);
      if (got <= 0) return std::nullopt;
      parser_.add({bytes, static_cast<std::size_t>(got)});
    }
  }
  // The answer to a request, other frames left out; data frames are put into `data`.
  ClientFrame ask(std::uint32_t id, std::string_view json, std::string* data = nullptr) {
    send(id, json);
    for (auto frame = next(); frame; frame = next()) {
      if (frame->id == id && frame->type != hw::channel::FrameType::data) return *frame;
      if (frame->id == id && data) data->append(frame->payload);
    }
    ADD_FAILURE() << "no answer to " << json;
    return {hw::channel::FrameType::failure, 0, "{}"};
  }

 private:
  Fd fd_;
  hw::channel::FrameParser parser_{hw::channel::kMaxPayload};
};

// A server on a ring that the test fills.
class ServedRing {
 public:
  explicit ServedRing(const RingGeometry& geometry = kSmall) : ring(geometry) {
    source.name = "p1";
    source.ring =
        std::make_shared<const RingMemory>(must(RingMemory::open(Fd{::fcntl(ring.memory.fd(), F_DUPFD_CLOEXEC, 0)})));
    server_.emplace(must(ChannelLink::open("unix:" + socket().string())),
                    ChannelService{[] { return std::string("{\"name\":\"p1\"}"); },
                                   [] { return std::string("{\"state\":\"capturing\"}"); }, [this] { return source; },
                                   [this] { stop_asked = true; },
                                   [this] { return final_said ? std::string("{\"frames\":5}") : std::string(); },
                                   [this](const std::string& port) {
                                     mirrors = port;
                                     return port.empty() ? Result<Done>(input_error("no mirrors")) : Done{};
                                   }});
    thread_ = std::thread([this] { server_->run(done_); });
  }
  ~ServedRing() { stop(); }
  std::filesystem::path socket() const { return dir_ / "c.sock"; }
  void stop() {
    done_.store(true, std::memory_order_release);
    if (thread_.joinable()) thread_.join();
  }
  void feed(int frames, std::size_t size = 600) {
    for (int i = 0; i < frames; ++i) ASSERT_TRUE(ring.append(size));
    ring.writer.publish();
  }

  RingUnderTest ring;
  PullSource source;
  std::atomic<bool> stop_asked{false}, final_said{false};
  std::string mirrors;  // as the host told them; read once it has the answer

 private:
  TempDir dir_;
  std::optional<ChannelServer> server_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace vigia::vf
