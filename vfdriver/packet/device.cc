// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/packet/device.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <optional>
#include <thread>

#include "hw/fd.h"
#include "vfdriver/interface.h"
#include "vfdriver/packet/queue.h"
#include "vfdriver/port_spec.h"

namespace vigia::vf::packet {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// The ring's shape. A block is handed over when it is full, or so long after its first frame; the engine is woken for
// each, and in a guest a wake-up may cost as much as a thousand frames. A block is longer than the longest frame that
// the kernel merges (64 KiB and headers).
struct Shape {
  std::uint32_t block_bytes;
  unsigned timeout_ms;
  std::size_t fewest_blocks;
};
constexpr Shape shape_for(Stamps stamps) {
  // A frame that the engine stamps must not wait long for that.
  return stamps == Stamps::engine ? Shape{256 * 1024, 2, 4} : Shape{4096 * 1024, 50, 8};
}
// How much later than its time a block may be handed over: kernels before 6.18 count in jiffies of up to 10 ms.
constexpr milliseconds kTimerSlack{38};
constexpr milliseconds kLookEvery{100};

// A socket of the interface and its ring.
class Socket {
 public:
  static Result<Socket> open(const std::string& spec, const Shape& shape, std::size_t blocks);
  Socket(Socket&& other) noexcept : fd_(std::move(other.fd_)), ring_(std::exchange(other.ring_, {})) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (!ring_.empty()) ::munmap(ring_.data(), ring_.size());
  }

  int fd() const { return fd_.get(); }
  std::span<std::byte> ring() const { return ring_; }

  template <class T>
  Result<Done> set(int level, int option, const T& value, const char* what) {
    if (::setsockopt(fd(), level, option, &value, sizeof value) == 0) return Done{};
    return os_error(what);
  }
  // Bytes kept of each frame; 0: no frame is taken, and none is counted.
  Result<Done> keep(std::uint32_t bytes);
  // From now on frames arrive.
  Result<Done> bind(const Interface& interface);

 private:
  explicit Socket(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
  std::span<std::byte> ring_;
};

Result<Socket> Socket::open(const std::string& spec, const Shape& shape, std::size_t blocks) {
  // No protocol: nothing is received before bind(), so that no frame of another interface is.
  Socket socket(Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)));
  if (!socket.fd_) {
    const int error = errno;
    const char* remedy = error == EPERM ? "; it takes root or CAP_NET_RAW" : "; has the kernel AF_PACKET sockets?";
    return Error{static_cast<std::errc>(error == EINVAL ? EIO : error),
                 os_error(fmt::format("device '{}': open a packet socket", spec), error).text + remedy};
  }
  const int version = TPACKET_V3;
  if (auto ok = socket.set(SOL_PACKET, PACKET_VERSION, version, "ask for packet ring version 3"); !ok)
    return ok.error();
  tpacket_req3 request{};
  request.tp_block_size = shape.block_bytes;
  request.tp_block_nr = static_cast<unsigned>(blocks);
  request.tp_frame_size = TPACKET_ALIGNMENT << 7;  // not used by version 3, but checked
  request.tp_frame_nr = shape.block_bytes / request.tp_frame_size * request.tp_block_nr;
  request.tp_retire_blk_tov = shape.timeout_ms;
  const std::size_t bytes = blocks * shape.block_bytes;
  const std::string ring =
      fmt::format("device '{}': make a receive ring of {} KiB (a smaller --queue-size takes less)", spec, bytes / 1024);
  if (auto ok = socket.set(SOL_PACKET, PACKET_RX_RING, request, ring.c_str()); !ok) return ok.error();
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, socket.fd(), 0);
  if (at == MAP_FAILED) return os_error(ring);
  socket.ring_ = {static_cast<std::byte*>(at), bytes};
  return socket;
}

Result<Done> Socket::keep(std::uint32_t bytes) {
  std::array<sock_filter, 1> code{sock_filter{BPF_RET | BPF_K, 0, 0, bytes}};
  const sock_fprog program{code.size(), code.data()};
  return set(SOL_SOCKET, SO_ATTACH_FILTER, program, bytes == 0 ? "stop a packet socket" : "set the snap length");
}

Result<Done> Socket::bind(const Interface& interface) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = interface.index();
  // SAFETY: the socket interface takes every address family through this cast.
  if (::bind(fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return Done{};
  return os_error("bind a packet socket to interface " + interface.name());
}

class Device final : public VfDevice {
 public:
  Device(std::string spec, Interface interface, bool promiscuous, bool outgoing, Stamps stamps,
         const PortOptions& options)
      : spec_(std::move(spec)),
        interface_(std::move(interface)),
        promiscuous_(promiscuous),
        outgoing_(outgoing),
        stamps_(stamps),
        keep_(options.snaplen == 0 ? 0x40000 : options.snaplen),
        shape_(shape_for(stamps)),
        blocks_(std::max(shape_.fewest_blocks,
                         std::size_t{options.rx_ring} * options.rx_buffer_kib * 1024 / shape_.block_bytes)) {}

  unsigned queues() const override { return 1; }
  RxPort& queue(unsigned i) override {
    check(i == 0 && queue_);
    return *queue_;
  }
  TxPort* tx() override { return nullptr; }
  Result<Done> start() override;
  Result<Done> stop() override;
  Health health() override;
  std::string trouble() const override { return interface_.gone(); }
  PortCounts counts() override;
  Result<Done> set_mac(const hw::Mac&) override { return Interface::refuse_address(spec_); }
  Result<PortInfo> info() override;

 private:
  const std::string spec_;
  const Interface interface_;
  const bool promiscuous_, outgoing_;
  const Stamps stamps_;
  const std::uint32_t keep_;
  const Shape shape_;
  const std::size_t blocks_;
  std::atomic<bool> gone_{false};
  std::optional<Socket> socket_;
  std::optional<Queue> queue_;
  PortCounts counts_{0, 0};
  steady_clock::time_point next_look_{};
};

Result<Done> Device::start() {
  counts();
  queue_.reset();
  socket_.reset();
  auto socket = Socket::open(spec_, shape_, blocks_);
  if (!socket) return socket.error();
  if (auto ok = socket->keep(keep_); !ok) return ok;
  if (!outgoing_) {
    const int on = 1;
    if (auto ok = socket->set(SOL_PACKET, PACKET_IGNORE_OUTGOING, on, "leave out outgoing frames"); !ok) return ok;
  }
  if (promiscuous_) {
    // The kernel undoes it when the socket closes, however this process ends.
    packet_mreq wish{};
    wish.mr_ifindex = interface_.index();
    wish.mr_type = PACKET_MR_PROMISC;
    if (auto ok = socket->set(SOL_PACKET, PACKET_ADD_MEMBERSHIP, wish, "make the interface promiscuous"); !ok)
      return ok;
  }
  socket_.emplace(std::move(*socket));
  queue_.emplace(socket_->ring(), shape_.block_bytes, socket_->fd(), gone_, stamps_);
  return socket_->bind(interface_);
}

Result<Done> Device::stop() {
  if (!socket_) return Done{};
  if (auto ok = socket_->keep(0); !ok) return ok;
  // The block that was being filled is handed over by its timer.
  std::this_thread::sleep_for(milliseconds(shape_.timeout_ms) + kTimerSlack);
  counts();
  return Done{};
}

Health Device::health() {
  if (gone_.load(std::memory_order_relaxed)) return Health::gone;  // relaxed: as in Queue::alive()
  const auto now = steady_clock::now();
  if (now < next_look_) return Health::good;
  next_look_ = now + kLookEvery;
  int error = 0;
  socklen_t size = sizeof error;
  // Takes a pending "interface is down" off the socket, so that poll() waits for frames again.
  if (socket_) (void)::getsockopt(socket_->fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (!interface_.exists()) gone_.store(true, std::memory_order_relaxed);
  return gone_.load(std::memory_order_relaxed) ? Health::gone : Health::good;
}

PortCounts Device::counts() {
  if (!socket_) return counts_;
  tpacket_stats_v3 since{};  // a look sets the kernel's counters to 0
  socklen_t size = sizeof since;
  if (::getsockopt(socket_->fd(), SOL_PACKET, PACKET_STATISTICS, &since, &size) == 0) {
    *counts_.offered += since.tp_packets;  // drops included
    *counts_.dropped += since.tp_drops;
  }
  return counts_;
}

Result<PortInfo> Device::info() {
  PortInfo info;
  info.device = spec_;
  info.driver = "AF_PACKET";
  info.mac = interface_.mac();
  info.queues = 1;
  info.mtu = interface_.mtu();
  info.link_up = interface_.link_up();
  info.link_mbps = interface_.link_mbps();
  info.interrupts = true;
  if (stamps_ == Stamps::kernel) {
    info.stamps = "the kernel's CLOCK_REALTIME as it took each frame from its driver";
    info.engine_stamps = fmt::format("packet:{},stamps=engine", interface_.name());
  }
  return info;
}

}  // namespace

Result<std::unique_ptr<VfDevice>> open(const std::string& spec, std::string_view rest, const PortOptions& options) {
  static const std::array<std::string, 3> kKeys{"promisc", "outgoing", "stamps"};
  const auto parsed = parse_port_spec(spec, rest, kKeys);
  if (!parsed) return parsed.error();
  const auto promiscuous = parsed->yes("promisc", true), outgoing = parsed->yes("outgoing", true);
  if (!promiscuous) return promiscuous.error();
  if (!outgoing) return outgoing.error();
  const std::string word = parsed->word("stamps", "kernel");
  if (word != "kernel" && word != "engine") {
    return input_error(fmt::format("device '{}': stamps '{}'; want kernel or engine", spec, word));
  }
  auto interface = Interface::open(spec, parsed->place);
  if (!interface) return interface.error();
  return std::unique_ptr<VfDevice>(std::make_unique<Device>(spec, std::move(*interface), *promiscuous, *outgoing,
                                                            word == "kernel" ? Stamps::kernel : Stamps::engine,
                                                            options));
}

}  // namespace vigia::vf::packet
