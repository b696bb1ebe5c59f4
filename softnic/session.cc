// SPDX-License-Identifier: Apache-2.0
#include "softnic/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <nlohmann/json.hpp>

namespace vigia::softnic {

using namespace hw::vfio_user;

namespace {

constexpr std::uint64_t kPage = 4096;          // pgsizes that we announce
constexpr std::size_t kMaxVersionText = 4096;  // QEMU sends 194 bytes
constexpr std::size_t kMaxRegionInfo = 4096;   // ours needs 48 + 16 per area

// Together with header and version not above the 214 bytes of QEMU's own message: it takes no longer reply.
constexpr std::string_view kCapabilities =
    R"({"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"pgsizes":4096}})";
constexpr std::string_view kCapabilitiesMulti =
    R"({"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"pgsizes":4096,"write_multiple":true}})";
static_assert(sizeof(Header) + sizeof(Version) + kCapabilitiesMulti.size() + 1 <= 214);

Error refuse(std::string text) { return input_error(std::move(text)); }

// The leading T of a payload whose length the rule has checked.
template <class T>
T take(const Message& message) {
  T value{};
  check(message.payload.size() >= sizeof value);
  std::memcpy(&value, message.payload.data(), sizeof value);
  return value;
}

template <class T>
void append(Reply& reply, const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  reply.payload.insert(reply.payload.end(), bytes.begin(), bytes.end());
}

// An unsigned number among the client's capabilities, or fallback.
std::uint64_t number_in(const nlohmann::json& capabilities, const char* key, std::uint64_t fallback) {
  const auto value = capabilities.find(key);
  return value != capabilities.end() && value->is_number_unsigned() ? value->get<std::uint64_t>() : fallback;
}

// Whether fd is an eventfd that cannot block us. Anything else could: a write to a full pipe would stop all functions.
bool make_usable_eventfd(const Fd& fd) {
  std::array<char, 64> target{};
  const std::string link = fmt::format("/proc/self/fd/{}", fd.get());
  const ssize_t n = ::readlink(link.c_str(), target.data(), target.size());
  if (n < 0 || std::string_view(target.data(), static_cast<std::size_t>(n)) != "anon_inode:[eventfd]") return false;
  const int flags = ::fcntl(fd.get(), F_GETFL);
  return flags >= 0 && ((flags & O_NONBLOCK) != 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) == 0);
}

}  // namespace

struct Session::Rule {
  Command command;
  std::string_view name;
  std::size_t least, most;  // payload bytes
  unsigned max_fds;
  Result<Done> (Session::*run)(Message&, Reply&);
};

const Session::Rule* Session::rule_for(std::uint16_t command) {
  constexpr std::size_t kData = kMaxDataTransfer;
  static constexpr std::array kRules{
      Rule{Command::version, "VERSION", sizeof(Version), sizeof(Version) + kMaxVersionText, 0, &Session::version},
      Rule{Command::dma_map, "DMA_MAP", sizeof(DmaMap), sizeof(DmaMap), 1, &Session::dma_map},
      Rule{Command::dma_unmap, "DMA_UNMAP", sizeof(DmaUnmap), sizeof(DmaUnmap), 0, &Session::dma_unmap},
      Rule{Command::device_get_info, "GET_INFO", sizeof(DeviceInfo), sizeof(DeviceInfo), 0, &Session::device_info},
      Rule{Command::device_get_region_info, "GET_REGION_INFO", sizeof(RegionInfo), kMaxRegionInfo, 0,
           &Session::region_info},
      Rule{Command::device_get_irq_info, "GET_IRQ_INFO", sizeof(IrqInfo), sizeof(IrqInfo), 0, &Session::irq_info},
      Rule{Command::device_set_irqs, "SET_IRQS", sizeof(SetIrqs), sizeof(SetIrqs), kMaxFds, &Session::set_irqs},
      Rule{Command::region_read, "REGION_READ", sizeof(RegionAccess), sizeof(RegionAccess), 0, &Session::region_read},
      Rule{Command::region_write, "REGION_WRITE", sizeof(RegionAccess), sizeof(RegionAccess) + kData, 0,
           &Session::region_write},
      Rule{Command::region_write_multi, "REGION_WRITE_MULTI", sizeof(std::uint64_t), kData, 0,
           &Session::region_write_multi},
      Rule{Command::device_reset, "DEVICE_RESET", 0, 0, 0, &Session::device_reset},
  };
  const auto* rule = std::find_if(kRules.begin(), kRules.end(),
                                  [&](const Rule& r) { return static_cast<std::uint16_t>(r.command) == command; });
  return rule == kRules.end() ? nullptr : rule;
}

Session::Session(FunctionModel& model) : model_(model) {
  for (unsigned i = 0; i < kNumRegions; ++i) regions_.push_back(model_.region(i));
}

Session::~Session() {
  model_.detached();
  model_.dma_changed();
  model_.dma().clear();
}

Result<Done> Session::handle(Message& message, Reply& reply) {
  reply.payload.clear();
  reply.fd = -1;
  const std::uint16_t command = message.header.command;
  // QEMU takes EINVAL as "no such feature" and anything else as a fault.
  if (command == static_cast<std::uint16_t>(Command::device_feature)) return refuse("DEVICE_FEATURE: none is offered");
  const Rule* rule = rule_for(command);
  if (rule == nullptr) return Error{std::errc::function_not_supported, fmt::format("command {} is unknown", command)};
  const auto refuse_it = [&](std::string why) { return refuse(fmt::format("{}: {}", rule->name, why)); };
  if ((rule->command == Command::version) == negotiated_) {
    return refuse_it(negotiated_ ? "a second time" : "before VERSION");
  }
  if (message.payload.size() < rule->least || message.payload.size() > rule->most) {
    return refuse_it(fmt::format("{} bytes of payload", message.payload.size()));
  }
  if (message.fds_lost || message.fds.size() > rule->max_fds) {
    return refuse_it(fmt::format("{} descriptors{}", message.fds.size(), message.fds_lost ? " and more" : ""));
  }
  auto done = (this->*rule->run)(message, reply);
  if (!done) return Error{done.error().code, fmt::format("{}: {}", rule->name, done.error().text)};
  return done;
}

Result<Done> Session::version(Message& message, Reply& reply) {
  const auto theirs = take<Version>(message);
  if (theirs.major != 0) return refuse(fmt::format("client speaks {}.{}, we speak 0.0", theirs.major, theirs.minor));
  nlohmann::json capabilities = nlohmann::json::object();
  // SAFETY: bytes seen as characters.
  std::string_view text(reinterpret_cast<const char*>(message.payload.data()) + sizeof theirs,
                        message.payload.size() - sizeof theirs);
  if (!text.empty()) {
    if (text.back() != '\0') return refuse("capabilities without a final NUL");
    text.remove_suffix(1);
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (json.is_discarded() || !json.is_object()) return refuse("capabilities are no JSON object");
    if (json.contains("capabilities")) capabilities = json["capabilities"];
    if (!capabilities.is_object()) return refuse("capabilities are no JSON object");
  }
  client_fds_ = static_cast<unsigned>(std::min<std::uint64_t>(number_in(capabilities, "max_msg_fds", 1), kMaxFds));
  client_transfer_ = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(number_in(capabilities, "max_data_xfer_size", kMaxDataTransfer), kMaxDataTransfer));
  negotiated_ = true;
  const auto multi = capabilities.find("write_multiple");
  const bool wants_multi = multi != capabilities.end() && multi->is_boolean() && multi->get<bool>();
  append(reply, Version{0, 0});
  const auto ours = std::as_bytes(std::span(wants_multi ? kCapabilitiesMulti : kCapabilities));
  reply.payload.insert(reply.payload.end(), ours.begin(), ours.end());
  reply.payload.push_back(std::byte{0});
  return Done{};
}

Result<Done> Session::dma_map(Message& message, Reply&) {
  const auto map = take<DmaMap>(message);
  if (map.argsz < sizeof map || (map.flags & ~(kDmaRead | kDmaWrite)) != 0 || map.flags == 0) {
    return refuse(fmt::format("argsz {} flags {:#x}", map.argsz, map.flags));
  }
  if (map.address % kPage != 0 || map.size % kPage != 0 || map.offset % kPage != 0) {
    return refuse(
        fmt::format("{:#x} + {:#x} at file offset {:#x} is not page aligned", map.address, map.size, map.offset));
  }
  Fd file = message.fds.empty() ? Fd() : std::move(message.fds.front());
  return model_.dma().map(hw::Iova{map.address}, map.size, std::move(file), map.offset, (map.flags & kDmaRead) != 0,
                          (map.flags & kDmaWrite) != 0);
}

Result<Done> Session::dma_unmap(Message& message, Reply& reply) {
  const auto unmap = take<DmaUnmap>(message);
  const bool all = unmap.flags == kUnmapAll;
  if (unmap.argsz < sizeof unmap || (unmap.flags != 0 && !all) || (all && (unmap.address != 0 || unmap.size != 0))) {
    return refuse(fmt::format("argsz {} flags {:#x}", unmap.argsz, unmap.flags));
  }
  model_.dma_changed();
  if (all) {
    model_.dma().clear();
  } else if (auto done = model_.dma().unmap(hw::Iova{unmap.address}, unmap.size); !done) {
    return done.error();
  }
  reply.payload = message.payload;
  return Done{};
}

Result<Done> Session::device_info(Message& message, Reply& reply) {
  const auto ask = take<DeviceInfo>(message);
  if (ask.argsz < sizeof ask) return refuse(fmt::format("argsz {}", ask.argsz));
  append(reply, DeviceInfo{sizeof(DeviceInfo), kDeviceReset | kDevicePci, kNumRegions, kNumIrqs});
  return Done{};
}

Result<Done> Session::region_info(Message& message, Reply& reply) {
  const auto ask = take<RegionInfo>(message);
  if (ask.argsz < sizeof ask || ask.index >= kNumRegions) {
    return refuse(fmt::format("region {} argsz {}", ask.index, ask.argsz));
  }
  const RegionLayout& region = regions_[ask.index];
  RegionInfo info{sizeof(RegionInfo), 0, ask.index, 0, region.size, 0};
  if (region.size != 0) info.flags = kRegionRead | kRegionWrite;
  const bool mappable = region.mmap_fd >= 0 && !region.mappable.empty() && client_fds_ >= 1;
  if (!mappable) {
    append(reply, info);
    return Done{};
  }
  info.flags |= kRegionMmap;
  info.argsz =
      static_cast<std::uint32_t>(sizeof info + sizeof(SparseMmapCap) + region.mappable.size() * sizeof(SparseArea));
  if (ask.argsz < info.argsz) {
    // First round. Without flag 8, because QEMU refuses it together with cap_offset 0; the descriptor comes in round
    // two.
    append(reply, info);
    return Done{};
  }
  info.flags |= kRegionCaps;
  info.cap_offset = sizeof info;
  append(reply, info);
  append(reply, SparseMmapCap{1, 1, 0, static_cast<std::uint32_t>(region.mappable.size()), 0});
  for (const auto& area : region.mappable) append(reply, SparseArea{area.offset, area.size});
  reply.fd = region.mmap_fd;
  return Done{};
}

unsigned Session::irq_count(unsigned index) const {
  switch (index) {
    case kIrqMsix:
      return model_.msix_vectors();
    case kIrqErr:
    case kIrqReq:
      return 1;
    default:
      return 0;  // no INTx and no MSI: drivers of this family use MSI-X
  }
}

Result<Done> Session::irq_info(Message& message, Reply& reply) {
  const auto ask = take<IrqInfo>(message);
  if (ask.argsz < sizeof ask || ask.index >= kNumIrqs) {
    return refuse(fmt::format("interrupt {} argsz {}", ask.index, ask.argsz));
  }
  const unsigned count = irq_count(ask.index);
  // Never NORESIZE: it would make QEMU drop all vectors to add one, and events with them.
  append(reply, IrqInfo{sizeof(IrqInfo), count != 0 ? kIrqEventfd : 0, ask.index, count});
  return Done{};
}

Result<Done> Session::set_irqs(Message& message, Reply&) {
  const auto set = take<SetIrqs>(message);
  const auto refuse_it = [&](std::string_view why) {
    return refuse(
        fmt::format("interrupt {} flags {:#x} start {} count {}: {}", set.index, set.flags, set.start, set.count, why));
  };
  if (set.argsz < sizeof set) return refuse_it("argsz too small");
  if (set.index >= kNumIrqs) return refuse_it("no such interrupt");
  const unsigned have = irq_count(set.index);
  if (set.start > have || set.count > have - set.start) return refuse_it("beyond its vectors");
  if (set.flags == (kIrqDataNone | kIrqTrigger)) {
    if (set.start != 0 || set.count != 0) return refuse_it("triggering by message is not supported");
    if (!message.fds.empty()) return refuse_it("descriptors that nobody asked for");
    for (unsigned v = 0; v < have; ++v) assign(set.index, v, Fd());
    return Done{};
  }
  if (set.flags != (kIrqDataEventfd | kIrqTrigger)) return refuse_it("only eventfds that trigger are supported");
  if (set.count == 0) return refuse_it("no vectors");
  if (!message.fds.empty() && message.fds.size() != set.count) {
    return refuse_it(fmt::format("{} descriptors", message.fds.size()));
  }
  if (!std::all_of(message.fds.begin(), message.fds.end(), make_usable_eventfd)) {
    return refuse_it("a descriptor that is no eventfd");
  }
  for (unsigned i = 0; i < set.count; ++i) {
    assign(set.index, set.start + i, message.fds.empty() ? Fd() : std::move(message.fds[i]));
  }
  return Done{};
}

void Session::assign(unsigned index, unsigned vector, Fd eventfd) {
  if (index == kIrqMsix) {
    model_.set_msix(vector, std::move(eventfd));
  } else {
    Fd old = std::exchange(error_and_request_[index - kIrqErr], std::move(eventfd));
  }
}

Result<Done> Session::check_access(std::uint32_t region, std::uint64_t offset, std::uint32_t count) const {
  const bool inside = region < kNumRegions && count != 0 && count <= kMaxDataTransfer &&
                      offset <= regions_[region].size && count <= regions_[region].size - offset;
  if (inside) return Done{};
  return refuse(fmt::format("region {} offset {:#x} count {}: not inside the region", region, offset, count));
}

Result<Done> Session::region_read(Message& message, Reply& reply) {
  const auto access = take<RegionAccess>(message);
  if (auto inside = check_access(access.region, access.offset, access.count); !inside) return inside;
  if (access.count > client_transfer_)
    return refuse(fmt::format("count {} is more than the client takes", access.count));
  append(reply, access);
  reply.payload.resize(sizeof access + access.count);
  model_.region_read(access.region, access.offset, std::span(reply.payload).subspan(sizeof access));
  return Done{};
}

Result<Done> Session::region_write(Message& message, Reply& reply) {
  const auto access = take<RegionAccess>(message);
  if (auto inside = check_access(access.region, access.offset, access.count); !inside) return inside;
  const auto data = std::span<const std::byte>(message.payload).subspan(sizeof access);
  if (data.size() != access.count) return refuse(fmt::format("count {} with {} bytes", access.count, data.size()));
  model_.region_write(access.region, access.offset, data);
  append(reply, access);
  return Done{};
}

Result<Done> Session::region_write_multi(Message& message, Reply& reply) {
  const auto count = take<std::uint64_t>(message);
  const std::size_t room = (message.payload.size() - sizeof count) / sizeof(WriteMultiEntry);
  if (count != room || (message.payload.size() - sizeof count) % sizeof(WriteMultiEntry) != 0) {
    return refuse(fmt::format("{} writes in {} bytes", count, message.payload.size()));
  }
  const auto entry_at = [&](std::size_t i) {
    WriteMultiEntry entry{};
    std::memcpy(&entry, message.payload.data() + sizeof count + i * sizeof entry, sizeof entry);
    return entry;
  };
  for (std::size_t i = 0; i < room; ++i) {  // all are looked at before one is carried out
    const WriteMultiEntry entry = entry_at(i);
    if (entry.count > sizeof entry.data) return refuse(fmt::format("write {} of {} bytes", i, entry.count));
    if (auto inside = check_access(entry.region, entry.offset, entry.count); !inside) return inside;
  }
  for (std::size_t i = 0; i < room; ++i) {
    const WriteMultiEntry entry = entry_at(i);
    model_.region_write(entry.region, entry.offset, std::as_bytes(std::span(entry.data)).first(entry.count));
  }
  append(reply, count);
  return Done{};
}

Result<Done> Session::device_reset(Message&, Reply&) {
  model_.function_reset();
  return Done{};
}

}  // namespace vigia::softnic
