// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/xdp/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <optional>
#include <thread>
#include <vector>

#include "hw/log.h"
#include "vfdriver/interface.h"
#include "vfdriver/port_spec.h"
#include "vfdriver/xdp/program.h"
#include "vfdriver/xdp/socket.h"

namespace vigia::vf::xdp {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLookEvery{100};
// Longer than the kernel takes over frames that it had begun to direct here.
constexpr milliseconds kSettle{20};
// What the kernel leaves free before a frame (XDP_PACKET_HEADROOM) and before that for its note, and what a frame has
// beside its MTU.
constexpr unsigned kHeadroom = 256 + sizeof(FrameNote), kEthernet = 14 + 4;
// Fewer would fill between two wake-ups, and wake-ups are what a frame costs most: with the engine's stamps, and
// without, when frames may wait longer.
constexpr unsigned kFewestFrames = 8192, kFewestStamped = 32768;
constexpr std::uint32_t kSmallFrame = 2048, kLargeFrame = 4096;

class Device final : public VfDevice {
 public:
  Device(std::string spec, Interface interface, std::vector<unsigned> queues, std::optional<Mode> mode, Work wanted,
         const PortOptions& options)
      : spec_(std::move(spec)),
        interface_(std::move(interface)),
        numbers_(std::move(queues)),
        wanted_mode_(mode),
        wanted_(wanted),
        asked_ring_(options.rx_ring) {}

  unsigned queues() const override { return static_cast<unsigned>(numbers_.size()); }
  RxPort& queue(unsigned i) override {
    check(i < sockets_.size());
    return *sockets_[i];
  }
  TxPort* tx() override { return nullptr; }
  Result<Done> start() override;
  Result<Done> stop() override;
  Health health() override;
  std::string trouble() const override { return interface_.gone(); }
  // What was directed to the sockets: frames that the host gets are not counted here.
  PortCounts counts() override;
  Result<Done> set_mac(const hw::Mac&) override { return Interface::refuse_address(spec_); }
  Result<PortInfo> info() override;

 private:
  Result<Done> attach();
  Result<Done> open_sockets();
  Result<Done> open_sockets(unsigned ring);
  std::string engine_spec() const;
  void say_what_is_missing() const;

  const std::string spec_;
  const Interface interface_;
  const std::vector<unsigned> numbers_;  // of the interface's queues
  const std::optional<Mode> wanted_mode_;
  const Work wanted_;
  const unsigned asked_ring_;
  Mode mode_ = Mode::native;
  std::atomic<bool> gone_{false};
  std::vector<std::unique_ptr<Socket>> sockets_;
  std::optional<Program> program_;  // goes first
  steady_clock::time_point next_look_{};
  bool told_of_notes_ = false;
};

Result<Done> Device::attach() {
  const unsigned most = numbers_.back() + 1;
  mode_ = wanted_mode_.value_or(Mode::native);
  auto program = Program::attach(spec_, interface_, most, mode_, wanted_);
  if (!program && !wanted_mode_ && program.error().code == std::errc::operation_not_supported) {
    mode_ = Mode::generic;
    program = Program::attach(spec_, interface_, most, mode_, wanted_);
  }
  if (!program) return program.error();
  program_.emplace(std::move(*program));
  return Done{};
}

// This port with the engine's stamps.
std::string Device::engine_spec() const {
  static constexpr std::string_view kHere = ",stamps=kernel";
  std::string spec = spec_;
  if (const auto at = spec.find(kHere); at != spec.npos) spec.erase(at, kHere.size());
  return spec + ",stamps=engine";
}

Result<Done> Device::open_sockets(unsigned ring) {
  const bool small = interface_.mtu() + kEthernet + kHeadroom <= kSmallFrame;
  for (const unsigned number : numbers_) {
    auto socket = Socket::open(
        spec_, interface_,
        {number, ring, small ? kSmallFrame : kLargeFrame, mode_ == Mode::generic, program_->misses()}, gone_);
    if (!socket) return socket.error();
    sockets_.push_back(std::move(*socket));
  }
  return Done{};
}

// With as many buffers as this process may pin.
Result<Done> Device::open_sockets() {
  for (unsigned ring = std::max(asked_ring_, program_->misses() != nullptr ? kFewestStamped : kFewestFrames);;
       ring /= 2) {
    auto opened = open_sockets(ring);
    if (opened || opened.error().code != std::errc::no_buffer_space) return opened;
    if (ring <= std::max(asked_ring_, kFewestFrames)) return opened;
    sockets_.clear();
  }
}

void Device::say_what_is_missing() const {
  if (interface_.strips_vlan_tags().value_or(false)) {
    log::warning("{}: {} takes VLAN tags out of received frames, and XDP does not see them; ethtool -K {} rxvlan off",
                 spec_, interface_.name(), interface_.name());
  }
  const unsigned longest = kLargeFrame - kHeadroom;
  if (interface_.mtu() + kEthernet > longest) {
    log::warning("{}: frames over {} bytes do not fit an AF_XDP buffer; they are counted as port.dropped", spec_,
                 longest);
  }
  if (program_->work() != wanted_) {
    log::warning("{}: this kernel takes no XDP program that {}", spec_,
                 program_->work() == Work::none
                     ? "counts frames or stamps them: port.offered is unknown, the engine stamps"
                     : "stamps frames: the engine does");
  }
}

Result<Done> Device::start() {
  if (!program_) {
    // Once: the kernel gives a queue free only some time after its socket was closed.
    sockets_.clear();
    if (auto ok = attach(); !ok) return ok;
    if (auto ok = open_sockets(); !ok) {
      program_.reset();
      return ok;
    }
    say_what_is_missing();
  }
  for (std::size_t i = 0; i < numbers_.size(); ++i) {
    if (auto ok = program_->direct(numbers_[i], sockets_[i]->fd()); !ok) return ok;
  }
  return Done{};
}

Result<Done> Device::stop() {
  if (!program_) return Done{};
  for (const unsigned number : numbers_) program_->release(number);
  std::this_thread::sleep_for(kSettle);
  return Done{};
}

Health Device::health() {
  const auto now = steady_clock::now();
  if (now >= next_look_) {
    next_look_ = now + kLookEvery;
    if (!interface_.exists()) gone_.store(true, std::memory_order_relaxed);  // relaxed: as in Socket::alive()
  }
  const bool late = std::any_of(sockets_.begin(), sockets_.end(), [](const auto& s) { return s->gave_up_notes(); });
  if (late && !std::exchange(told_of_notes_, true)) {
    log::warning(
        "{}: the driver of {} leaves no room before frames for the XDP program's stamps: stamps say when a "
        "frame was taken. Better have the engine stamp them: --device {}",
        spec_, interface_.name(), engine_spec());
  }
  return gone_.load(std::memory_order_relaxed) ? Health::gone : Health::good;
}

PortCounts Device::counts() {
  // Dropped frames first: the engine runs, and offered may be ahead but not behind.
  std::uint64_t dropped = 0;
  for (const auto& socket : sockets_) dropped += socket->dropped();
  std::optional<std::uint64_t> offered = 0;
  for (const unsigned number : numbers_) {
    const auto directed = program_ ? program_->directed(number) : std::nullopt;
    offered = offered && directed ? std::optional(*offered + *directed) : std::nullopt;
  }
  return {offered, dropped};
}

Result<PortInfo> Device::info() {
  PortInfo info;
  info.device = spec_;
  info.driver = "AF_XDP";
  info.mac = interface_.mac();
  info.api = fmt::format("{} XDP, {}", mode_ == Mode::native ? "native" : "generic",
                         !sockets_.empty() && sockets_.front()->zero_copy() ? "zero-copy" : "copy");
  info.queues = queues();
  info.mtu = interface_.mtu();
  info.link_up = interface_.link_up();
  info.link_mbps = interface_.link_mbps();
  info.interrupts = true;
  if (program_ && program_->misses() != nullptr) {
    info.stamps = fmt::format(
        "the kernel's CLOCK_MONOTONIC as its XDP program took each frame from the driver, put to "
        "CLOCK_REALTIME within {} ns",
        KernelTime().error_ns());
    info.engine_stamps = engine_spec();
  }
  return info;
}

// "eth0" or "eth0@3"; an interface's name may not hold '@'.
Result<std::vector<unsigned>> queues_of(const std::string& spec, std::string_view number, const Interface& interface) {
  const unsigned all = interface.rx_queues();
  if (number.empty()) {
    std::vector<unsigned> every;
    for (unsigned q = 0; q < all; ++q) every.push_back(q);
    return every;
  }
  unsigned queue = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), queue);
  if (error != std::errc{} || end != number.data() + number.size() || queue >= all) {
    return input_error(
        fmt::format("device '{}': queue '{}'; {} has queues 0 to {}", spec, number, interface.name(), all - 1));
  }
  return std::vector<unsigned>{queue};
}

}  // namespace

Result<std::unique_ptr<VfDevice>> open(const std::string& spec, std::string_view rest, const PortOptions& options) {
  static const std::array<std::string, 2> kKeys{"mode", "stamps"};
  const auto parsed = parse_port_spec(spec, rest, kKeys);
  if (!parsed) return parsed.error();
  const std::string word = parsed->word("mode", "auto");
  if (word != "auto" && word != "native" && word != "generic") {
    return input_error(fmt::format("device '{}': mode '{}'; want auto, native or generic", spec, word));
  }
  const std::string stamps = parsed->word("stamps", "kernel");
  if (stamps != "kernel" && stamps != "engine") {
    return input_error(fmt::format("device '{}': stamps '{}'; want kernel or engine", spec, stamps));
  }
  const std::size_t at = parsed->place.find('@');
  auto interface = Interface::open(spec, parsed->place.substr(0, at));
  if (!interface) return interface.error();
  if (at != std::string::npos && at + 1 == parsed->place.size()) {
    return input_error(fmt::format("device '{}': a queue's number follows '@'", spec));
  }
  const auto queues =
      queues_of(spec, at == std::string::npos ? "" : std::string_view(parsed->place).substr(at + 1), *interface);
  if (!queues) return queues.error();
  const std::optional<Mode> mode =
      word == "auto" ? std::nullopt : std::optional(word == "native" ? Mode::native : Mode::generic);
  // Rings of several queues are merged by what engines promise of their own clocks (port.h).
  const Work work = stamps == "kernel" && queues->size() == 1 ? Work::note : Work::count;
  return std::unique_ptr<VfDevice>(std::make_unique<Device>(spec, std::move(*interface), *queues, mode, work, options));
}

}  // namespace vigia::vf::xdp
