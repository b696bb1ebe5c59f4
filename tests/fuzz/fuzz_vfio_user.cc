// SPDX-License-Identifier: Apache-2.0
// A hostile vfio-user client. The input is a list of sends, each {kind, descriptors, length, bytes}: raw bytes, or a
// payload for which a header that fits is written. Server, model and sockets are the real ones.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

#include "hw/fd_passing.h"
#include "hw/log.h"
#include "hw/vfio_user.h"
#include "softnic/server.h"
#include "tests/softnic/fake_function.h"

namespace {

using namespace vigia;
using namespace vigia::hw::vfio_user;

constexpr std::string_view kHello = "{\"capabilities\":{\"max_msg_fds\":16,\"write_multiple\":true}}";

// What lives as long as the process: one server, one function, one descriptor of each kind to send.
struct World {
  World() {
    log::set_level(log::Level::error);
    if (::ftruncate(memory.get(), 1 << 16) != 0 || ::pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0) std::abort();
  }
  softnic::test::FakeFunction model{true};
  std::unique_ptr<softnic::Server> server = std::move(*softnic::Server::create());
  Fd memory{::memfd_create("fuzz", MFD_CLOEXEC)};
  Fd event{::eventfd(0, EFD_CLOEXEC)};
  int pipe_ends[2];
  unsigned descriptors = 0;  // open ones after the first input
};

class Client {
 public:
  explicit Client(World& world) : world_(world) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    socket_ = Fd(ends[0]);
    if (!world.server->adopt(Fd(ends[1]), world.model)) std::abort();
  }

  void send(std::span<const std::byte> head, std::span<const std::byte> body, unsigned kind) {
    std::vector<int> fds;
    constexpr std::array<std::size_t, 8> kCounts{0, 0, 0, 1, 1, 2, 16, 1};
    for (std::size_t i = 0; i < kCounts[kind % 8]; ++i) {
      const std::array<int, 4> choice{world_.memory.get(), world_.event.get(), world_.pipe_ends[1],
                                      world_.pipe_ends[0]};
      fds.push_back(choice[kind / 8 % 4]);
    }
    if (head.empty()) std::swap(head, body);
    if (head.empty()) return;
    (void)hw::send_with_fds(socket_.get(), head, body, fds, MSG_DONTWAIT);
    serve();
    touch_memory();
    if (kind % 8 == 7) (void)::ftruncate(world_.memory.get(), kind / 32 * 4096);  // behind the server's back
    read_replies();
  }

 private:
  void serve() {
    while (world_.server->poll(0) > 0) {
    }
  }
  // As the device would: whatever is announced can be read, and nothing else.
  void touch_memory() {
    std::array<std::byte, 64> data;
    for (const std::uint64_t at : {0ull, 0x1000ull, 0xfff8ull, 0xfffffffffffffff0ull}) {
      if (world_.model.dma().read(hw::Iova{at}, data)) (void)world_.model.dma().write(hw::Iova{at}, data);
    }
  }
  void read_replies() {
    std::array<std::byte, 65536> replies;
    std::vector<Fd> fds;
    while (hw::receive_with_fds(socket_.get(), replies, fds, MSG_DONTWAIT).bytes > 0) fds.clear();
  }

  World& world_;
  Fd socket_;
};

unsigned open_descriptors() {
  return static_cast<unsigned>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

void say_hello(Client& client) {
  const Version version{0, 0};
  std::vector<std::byte> body(sizeof version + kHello.size() + 1);
  std::memcpy(body.data(), &version, sizeof version);
  std::memcpy(body.data() + sizeof version, kHello.data(), kHello.size());
  const Header header{1, 1, static_cast<std::uint32_t>(sizeof(Header) + body.size()), kRequest, 0};
  client.send(std::as_bytes(std::span(&header, 1)), body, 0);
}

void play(World& world, std::span<const std::byte> input) {
  Client client(world);
  if (!input.empty() && input[0] != std::byte{0xff}) say_hello(client);
  while (input.size() >= 4) {
    const unsigned kind = std::to_integer<unsigned>(input[0]), with = std::to_integer<unsigned>(input[1]);
    const std::size_t length = std::to_integer<std::size_t>(input[2]) | std::to_integer<std::size_t>(input[3]) << 8;
    input = input.subspan(4);
    const auto body = input.first(std::min(length, input.size()));
    input = input.subspan(body.size());
    if (kind >= 128) {
      client.send({}, body, with);
      continue;
    }
    const Header header{static_cast<std::uint16_t>(kind), static_cast<std::uint16_t>(kind % 20),
                        static_cast<std::uint32_t>(sizeof(Header) + body.size()), kind >= 64 ? kNoReply : kRequest, 0};
    client.send(std::as_bytes(std::span(&header, 1)), body, with);
  }
}

template <class T>
void add_send(std::vector<std::uint8_t>& input, unsigned kind, unsigned fds, const T& payload, unsigned more = 0) {
  std::array<std::uint8_t, sizeof payload> bytes;
  std::memcpy(bytes.data(), &payload, sizeof payload);
  const std::size_t length = sizeof payload + more;
  for (const std::size_t b : {std::size_t{kind}, std::size_t{fds}, length & 0xff, length >> 8}) {
    input.push_back(static_cast<std::uint8_t>(b));
  }
  input.insert(input.end(), bytes.begin(), bytes.end());
  input.insert(input.end(), more, 0x5a);
}

}  // namespace

// One input with a valid request of each command, in the order of a real driver.
std::vector<std::vector<std::uint8_t>> fuzz_seeds();
std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::uint8_t> all;
  add_send(all, 2, 3, DmaMap{32, 3, 0, 0, 0x2000});
  add_send(all, 2, 0, DmaMap{32, 1, 0, 0x10000, 0x1000});
  add_send(all, 4, 0, DeviceInfo{16, 0, 0, 0});
  add_send(all, 5, 0, RegionInfo{32, 0, 0, 0, 0, 0});
  add_send(all, 5, 0, RegionInfo{80, 0, 0, 0, 0, 0});
  add_send(all, 7, 0, IrqInfo{16, 0, 2, 0});
  add_send(all, 9, 0, RegionAccess{0, 7, 256});
  add_send(all, 10, 0, RegionAccess{0x1018, 0, 4}, 4);
  add_send(all, 70, 0, RegionAccess{0x1018, 0, 4}, 4);  // 70 % 20 = 10, posted
  add_send(all, 8, 11, SetIrqs{20, kIrqDataEventfd | kIrqTrigger, 2, 0, 1});
  add_send(all, 8, 0, SetIrqs{20, kIrqDataNone | kIrqTrigger, 2, 0, 0});
  struct Multi {
    std::uint64_t count;
    WriteMultiEntry entries[2];
  };
  add_send(all, 15, 0, Multi{2, {{0, 0, 4, {}}, {8, 0, 8, {}}}});
  add_send(all, 3, 0, DmaUnmap{24, 0, 0, 0x2000});
  add_send(all, 3, 0, DmaUnmap{24, kUnmapAll, 0, 0});
  add_send(all, 2, 7, DmaMap{32, 3, 0, 0, 0x2000});  // and shrinks the file
  add_send(all, 2, 3, DmaMap{32, 3, 0x1000, 0x1000, 0x1000});
  std::vector<std::uint8_t> raw;
  add_send(raw, 200, 0, Header{1, 13, 16, 0, 0});
  add_send(raw, 200, 0, Header{2, 9, 32, 0, 0});
  add_send(raw, 200, 0, RegionAccess{0, 0, 4096});
  return {all, raw};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  if (::ftruncate(world.memory.get(), 1 << 16) != 0) std::abort();
  const unsigned before = world.model.detachments;
  play(world, std::as_bytes(std::span(data, size)));
  for (unsigned i = 0; world.server->poll(0) > 0 || world.model.detachments == before; ++i) {
    if (i > 10000) std::abort();  // a client that is gone must be noticed
  }
  // A client that is gone leaves nothing behind.
  if (world.model.dma().ranges() != 0 || world.model.assigned() != 0) std::abort();
  static std::uint64_t inputs = 0;
  if (++inputs % 256 == 0) {             // not before: libFuzzer opens pipes to its symbolizer at the first finds
    while (world.server->poll(0) > 0) {  // connections that the server ended are reaped
    }
    const unsigned now = open_descriptors();
    if (world.descriptors == 0) world.descriptors = now;
    if (now > world.descriptors) std::abort();
  }
  return 0;
}
