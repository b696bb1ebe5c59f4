// SPDX-License-Identifier: Apache-2.0
// Answers the host through the channel (hw/channel_frame.h), from a thread of its own. Nothing that the host does, or
// does not read, reaches the capture: a pull reads the ring as a stranger and waits in its own pipe.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/channel_frame.h"
#include "vfdriver/channel_link.h"
#include "vfdriver/pull.h"

namespace vigia::vf {

// What the server needs of the service around it. Called from the server's thread.
struct ChannelService {
  std::function<std::string()> hello;   // a JSON object
  std::function<std::string()> status;  // a JSON object
  std::function<PullSource()> source;
  std::function<void()> stop;  // asks for the end of the capture
  // The final statistics once the capture has ended, a JSON object; empty before.
  std::function<std::string()> final_report;
  // What `vigia pf show --json` prints of the port that mirrors here, or the part of it that is about this probe.
  std::function<Result<Done>(const std::string& port)> mirrors = {};
};

class ChannelServer {
 public:
  ChannelServer(ChannelLink link, ChannelService service);

  // Until stop; then what is still to be said is said, within a second.
  void run(const std::atomic<bool>& stop);
  // One turn of run(): sleeps at most so long.
  void turn(std::chrono::milliseconds time);

 private:
  void read_requests();
  void answer(const hw::channel::Frame& request);
  void answer_time(std::uint32_t id, std::uint64_t received_ns);
  void take_mirrors(std::uint32_t id, const std::string& port);
  void start_pull(std::uint32_t id, std::string_view json);
  void read_pull();
  void end_pull();
  void answer_stops();
  void send(hw::channel::FrameType type, std::uint32_t id, std::string_view payload);
  void refuse(std::uint32_t id, const Error& error);
  void forget_client();
  void write_out();

  ChannelLink link_;
  ChannelService service_;
  hw::channel::FrameParser parser_{hw::channel::kMaxRequest};
  std::chrono::steady_clock::time_point heard_{};  // when the last byte came
  std::string out_;                                // frames on their way to the host
  std::unique_ptr<PullJob> pull_;
  std::uint32_t pull_id_ = 0;
  std::vector<std::uint32_t> stops_;  // requests to stop that are not answered yet
};

}  // namespace vigia::vf
