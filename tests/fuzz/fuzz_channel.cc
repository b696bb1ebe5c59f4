// SPDX-License-Identifier: Apache-2.0
// A hostile host on the channel: its bytes go through the frame parser, cut in pieces, and to a real server behind a
// socket, which must answer an honest request afterwards.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "hw/unix_socket.h"
#include "tests/temp_dir.h"
#include "vfdriver/channel_server.h"
#include "vfdriver/ring.h"

namespace {

using namespace vigia;
using namespace vigia::vf;
using std::chrono::milliseconds;

constexpr RingGeometry kGeometry{
    .data_bytes = 16 * 1024, .segment_bytes = 32 * 1024, .mark_bytes = 4096, .max_captured = 1514};

std::string framed(std::uint32_t id, std::string_view json) {
  std::string out;
  hw::channel::append_frame(out, {hw::channel::FrameType::request, id, json});
  return out;
}

// A ring that has gone round once, and a server on it that is turned by hand.
struct Guest {
  Guest() : ring(must(RingMemory::create(kGeometry, "fuzz"))), table(must(ListenerTable::create())) {
    RingWriter writer(ring, table);
    const std::array<std::byte, 300> frame{};
    for (std::uint32_t i = 0; i < 200; ++i) {
      writer.append(Stamp{1, i}, frame.data(), 60 + i, 300);
      writer.publish();
    }
    source.name = "fuzz";
    source.ring =
        std::make_shared<const RingMemory>(must(RingMemory::open(Fd{::fcntl(ring.fd(), F_DUPFD_CLOEXEC, 0)})));
  }
  template <class T>
  static T must(Result<T> result) {
    if (!result) std::abort();
    return std::move(*result);
  }
  ChannelService service() {
    return {[] { return std::string("{\"name\":\"fuzz\"}"); }, [] { return std::string("{}"); },
            [this] { return source; }, [] {}, [] { return std::string("{}"); }};
  }

  vigia::test::TempDir dir;
  RingMemory ring;
  ListenerTable table;
  PullSource source;
  ChannelServer server{must(ChannelLink::open("unix:" + (dir / "c.sock").string())), service()};
};

void parse_in_pieces(std::string_view bytes) {
  hw::channel::FrameParser parser(hw::channel::kMaxRequest);
  std::uint64_t in_frames = 0;
  const std::size_t step = bytes.empty() ? 1 : 1 + static_cast<unsigned char>(bytes[0]) % 50;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    parser.add(bytes.substr(at, step));
    while (const auto frame = parser.next()) in_frames += hw::channel::kFrameHeader + frame->payload.size();
  }
  while (parser.waiting()) {
    parser.give_up();
    while (const auto frame = parser.next()) in_frames += hw::channel::kFrameHeader + frame->payload.size();
  }
  check(in_frames + parser.passed_over() == bytes.size());
}

// Turns the server until the answer with that id has come.
void talk(Guest& guest, std::string_view bytes) {
  Fd host = Guest::must(hw::connect_unix(guest.dir / "c.sock"));
  const std::string last = framed(0xfeedbeef, "{\"command\":\"hello\"}");
  std::string out(bytes);
  // What the input has begun may swallow the first greeting; a whole frame of padding ends that.
  out += std::string(hw::channel::kMaxRequest + hw::channel::kFrameHeader, '\0') + last;
  hw::channel::FrameParser answers(hw::channel::kMaxPayload);
  for (int turn = 0; turn < 2000; ++turn) {
    if (!out.empty()) {
      const auto put = ::send(host.get(), out.data(), out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (put > 0) out.erase(0, static_cast<std::size_t>(put));
    }
    guest.server.turn(milliseconds(1));
    std::array<char, 65536> in;
    const auto got = ::recv(host.get(), in.data(), in.size(), MSG_DONTWAIT);
    if (got > 0) answers.add({in.data(), static_cast<std::size_t>(got)});
    while (const auto frame = answers.next()) {
      if (frame->id == 0xfeedbeef && frame->type == hw::channel::FrameType::reply) return;
    }
  }
  std::abort();  // the server no longer answers
}

}  // namespace

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  std::string all;
  for (const char* json :
       {"{\"command\":\"hello\"}", "{\"command\":\"time\"}", "{\"command\":\"status\"}", "{\"command\":\"cancel\"}",
        "{\"command\":\"stop\"}", "{\"command\":\"pull\"}", "{\"command\":\"pull\",\"filter\":\"udp or tcp port 80\"}",
        "{\"command\":\"pull\",\"follow\":true,\"from_ns\":1}", "{\"command\":\"pull\",\"last_ns\":5,\"snaplen\":1}"}) {
    const std::string frame = framed(7, json);
    seeds.emplace_back(frame.begin(), frame.end());
    all += frame;
  }
  seeds.emplace_back(all.begin(), all.end());
  return seeds;
}

// The input is taken as it is and, because hardly any mutation keeps its check sum, as the payload of a request.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // SAFETY: bytes as characters.
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  parse_in_pieces(bytes);
  static Guest guest;
  talk(guest, bytes);
  if (size > hw::channel::kFrameHeader) {
    const std::string_view payload = bytes.substr(hw::channel::kFrameHeader);
    if (payload.size() <= hw::channel::kMaxRequest) talk(guest, framed(9, payload));
  }
  return 0;
}
