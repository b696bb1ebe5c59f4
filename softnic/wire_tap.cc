// SPDX-License-Identifier: Apache-2.0
#include "softnic/wire_tap.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "hw/fd.h"
#include "hw/log.h"

namespace vigia::softnic {
namespace {

constexpr std::size_t kMinFrameBytes = 60, kEthernetBytes = 14, kTagBytes = 4;
// More than the largest MTU of a TAP (65521) with its header: a read never cuts a frame.
constexpr std::size_t kLargestBytes = 65'536 + 256;
// Frames up to this size fit any Ethernet interface; longer ones only one whose MTU says so.
constexpr std::size_t kStandardBytes = kEthernetBytes + kTagBytes + 1500;

ifreq named(const std::string& name) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());  // the spec's parser has checked the length
  return request;
}

// The calling thread in another network namespace, until end().
class Visit {
 public:
  static Result<Visit> begin(const std::string& netns) {
    const std::string path = netns.find('/') == netns.npos ? "/var/run/netns/" + netns : netns;
    Visit visit;
    visit.home_ = Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!visit.home_) return os_error("open /proc/thread-self/ns/net");
    const Fd there(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!there) {
      return input_error(os_error(fmt::format("network namespace {}", path)).text + "; \"ip netns add\" makes one");
    }
    if (::setns(there.get(), CLONE_NEWNET) != 0) {
      const int error = errno;
      if (error == EINVAL) return input_error(fmt::format("{}: not a network namespace", path));
      return Error{std::errc::operation_not_permitted,
                   os_error("enter network namespace " + path, error).text + "; it takes root (CAP_SYS_ADMIN)"};
    }
    return visit;
  }
  Result<Done> end() {
    if (::setns(home_.get(), CLONE_NEWNET) != 0) return os_error("come back from a network namespace");
    return Done{};
  }

 private:
  Fd home_;
};

Error interface_error(const std::string& name, int error) {
  const std::string text = os_error("TAP interface " + name, error).text;
  switch (error) {
    case EPERM:
      return {std::errc::operation_not_permitted,
              text + "; it takes root (CAP_NET_ADMIN) or an interface made for this user: ip tuntap add mode tap user"};
    case EBUSY:
      return {std::errc::device_or_resource_busy, text + "; another program has it, or it is no TAP"};
    case EINVAL:
      return {std::errc::device_or_resource_busy,
              text + "; it exists and is no TAP of one queue: choose another name or delete it (ip link del)"};
    default:
      return os_error("TAP interface " + name, error);
  }
}

class TapWire final : public LiveWire {
 public:
  static Result<std::unique_ptr<Wire>> open(const TapSpec& spec) {
    Fd tap(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!tap) {
      const int error = errno;
      return Error{std::errc::no_such_device,
                   os_error("open /dev/net/tun", error).text + "; load the module tun, and see who may open the file"};
    }
    Fd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!control) return os_error("open a socket to control interface " + spec.name);
    ifreq request = named(spec.name);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (::ioctl(tap.get(), TUNSETIFF, &request) != 0) return interface_error(spec.name, errno);
    std::unique_ptr<TapWire> wire(new TapWire(spec, std::move(tap), std::move(control)));
    if (::ioctl(wire->tap_.get(), TUNSETOFFLOAD, 0) != 0) return os_error("switch off offloads of " + spec.name);
    const int off = 0;
    if (::ioctl(wire->tap_.get(), TUNSETCARRIER, &off) != 0) return os_error("switch off the carrier of " + spec.name);
    wire->read_mtu();
    return std::unique_ptr<Wire>(std::move(wire));
  }

  const WireFrame* next() noexcept override {
    if (!readable_) return nullptr;
    const ssize_t n = ::read(tap_.get(), buffer_.data(), buffer_.size());
    if (n <= 0) {
      readable_ = n < 0 && errno == EINTR;
      if (n < 0 && errno != EINTR && errno != EAGAIN) lose(errno);
      return nullptr;
    }
    auto length = static_cast<std::size_t>(n);
    if (length < kMinFrameBytes) {
      std::memset(buffer_.data() + length, 0, kMinFrameBytes - length);
      length = kMinFrameBytes;
      ++counts_.padded;
    }
    ++counts_.frames;
    counts_.bytes += length;
    frame_ = {FrameBytes(buffer_.data(), length), 0};
    return &frame_;
  }
  const WireCounts& counts() const noexcept override { return counts_; }
  const Rate& rate() const noexcept override { return rate_; }
  std::uint64_t total_frames() const noexcept override { return 0; }
  std::string describe() const override {
    return fmt::format("tap:{}{}{}, MTU {}", spec_.name, spec_.netns.empty() ? "" : " in ", spec_.netns, mtu_);
  }

  int fd() const noexcept override { return tap_.get(); }
  bool readable() noexcept override {
    readable_ = !gone_;
    return !gone_;
  }

  bool send(FrameBytes frame) noexcept override {
    // A TAP itself would take any length; a machine with that MTU on a real cable does not.
    if (frame.size() > kStandardBytes || frame.size() > longest()) {
      read_mtu();
      if (frame.size() > longest()) return refused(EMSGSIZE);
    }
    for (;;) {
      const ssize_t n = ::write(tap_.get(), frame.data(), frame.size());
      if (n == static_cast<ssize_t>(frame.size())) return true;
      if (n >= 0 || errno != EINTR) return refused(n >= 0 ? EIO : errno);
    }
  }

  void set_link(bool up) noexcept override {
    if (up == up_ || gone_) return;
    up_ = up;
    const int carrier = up ? 1 : 0;
    if (::ioctl(tap_.get(), TUNSETCARRIER, &carrier) != 0) lose(errno);
  }

 private:
  TapWire(TapSpec spec, Fd tap, Fd control)
      : spec_(std::move(spec)), tap_(std::move(tap)), control_(std::move(control)) {}

  std::size_t longest() const { return mtu_ + kEthernetBytes + kTagBytes; }

  void read_mtu() noexcept {
    ifreq request = named(spec_.name);
    if (::ioctl(control_.get(), SIOCGIFMTU, &request) == 0) mtu_ = static_cast<std::size_t>(request.ifr_mtu);
  }

  void lose(int error) noexcept {
    if (gone_) return;
    gone_ = true;
    readable_ = false;
    log::error("wire tap:{}: {}; the port has no cable any more until vigia-softnic is started again", spec_.name,
               std::strerror(error));
  }

  // Says each cause once; the caller counts.
  bool refused(int error) noexcept {
    if (error == EBADFD) lose(error);
    if (error != last_refusal_ && !gone_) {
      log::warning("wire tap:{} does not take frames: {}{}; counted as tx.wire_refused", spec_.name,
                   std::strerror(error),
                   error == EIO        ? " (the interface is down: ip link set up)"
                   : error == EMSGSIZE ? " for its MTU (ip link set mtu)"
                                       : "");
    }
    last_refusal_ = error;
    return false;
  }

  TapSpec spec_;
  Fd tap_, control_;  // control_: a socket of the same namespace
  std::size_t mtu_ = 1500;
  bool readable_ = true, up_ = false, gone_ = false;
  int last_refusal_ = 0;
  std::array<std::byte, kLargestBytes> buffer_;
  WireFrame frame_{};
  WireCounts counts_;
  Rate rate_;
};

}  // namespace

Result<std::unique_ptr<Wire>> open_tap_wire(const TapSpec& spec) {
  if (spec.netns.empty()) return TapWire::open(spec);
  auto visit = Visit::begin(spec.netns);
  if (!visit) return visit.error();
  auto wire = TapWire::open(spec);
  if (auto back = visit->end(); !back) return back.error();
  return wire;
}

}  // namespace vigia::softnic
