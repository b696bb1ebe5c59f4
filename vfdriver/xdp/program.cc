// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/xdp/program.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace vigia::vf::xdp {
namespace {

Error refusal(const std::string& what, int error) {
  const std::string text = os_error(what, error).text;
  switch (error) {
    case EPERM:
    case EACCES:
      return {std::errc::operation_not_permitted, text + "; it takes root, or CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW"};
    case EBUSY:
      return {std::errc::device_or_resource_busy,
              text + "; it has an XDP program already: ip link show, ip link set IF xdp off"};
    case EOPNOTSUPP:
      return {std::errc::operation_not_supported, text + "; its driver has no XDP of that kind, use mode=generic"};
    default:
      return os_error(what, error);
  }
}

// A program that does work, or as much of it as this kernel takes, which work says then. None: errno.
Fd load(const ProgramMaps& maps, Work& work) {
  for (;;) {
    const auto code = code_for(maps, work);
    Fd program(::bpf_prog_load(BPF_PROG_TYPE_XDP, "vigia_capture", "Apache-2.0", code.data(), code.size(), nullptr));
    if (program || work == Work::none || errno == EPERM) return program;
    work = work == Work::note ? Work::count : Work::none;
  }
}

Fd make_map(bpf_map_type type, const char* name, unsigned value_bytes, unsigned entries, unsigned flags) {
  bpf_map_create_opts options{};
  options.sz = sizeof options;
  options.map_flags = flags;
  return Fd(::bpf_map_create(type, name, sizeof(__u32), value_bytes, entries, &options));
}

std::size_t page_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

}  // namespace

void Program::Unmap::operator()(const std::uint64_t* page) const noexcept {
  ::munmap(const_cast<std::uint64_t*>(page), page_bytes());
}

Result<Program> Program::attach(const std::string& spec, const Interface& interface, unsigned queues, Mode mode,
                                Work work) {
  Fd sockets = make_map(BPF_MAP_TYPE_XSKMAP, "vigia_sockets", sizeof(__u32), queues, 0);
  if (!sockets) return refusal(fmt::format("device '{}': make a map of AF_XDP sockets", spec), errno);
  Fd counts = make_map(BPF_MAP_TYPE_ARRAY, "vigia_counts", sizeof(__u64), queues, 0);
  Fd misses = make_map(BPF_MAP_TYPE_ARRAY, "vigia_misses", sizeof(__u64), 1, BPF_F_MMAPABLE);
  if (!counts || !misses) return refusal(fmt::format("device '{}': make a map of counts", spec), errno);
  void* const page = ::mmap(nullptr, page_bytes(), PROT_READ, MAP_SHARED, misses.get(), 0);
  if (page == MAP_FAILED) return os_error(fmt::format("device '{}': look at a map of counts", spec));
  Page counted(static_cast<const std::uint64_t*>(page));
  Fd program = load({sockets.get(), counts.get(), misses.get()}, work);
  if (!program) return refusal(fmt::format("device '{}': load an XDP program", spec), errno);
  if (work != Work::note) counted.reset();
  bpf_link_create_opts options{};
  options.sz = sizeof options;
  options.flags = mode == Mode::native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
  Fd link(::bpf_link_create(program.get(), interface.index(), BPF_XDP, &options));
  if (!link) {
    return refusal(fmt::format("device '{}': attach an XDP program to {} ({})", spec, interface.name(),
                               mode == Mode::native ? "native" : "generic"),
                   errno);
  }
  return Program(std::move(sockets), std::move(counts), std::move(program), std::move(link), work, std::move(counted));
}

Result<Done> Program::direct(unsigned queue, int socket) {
  if (::bpf_map_update_elem(sockets_.get(), &queue, &socket, BPF_ANY) == 0) return Done{};
  return refusal(fmt::format("direct frames of queue {} to a socket", queue), errno);
}

void Program::release(unsigned queue) noexcept { (void)::bpf_map_delete_elem(sockets_.get(), &queue); }

std::optional<std::uint64_t> Program::directed(unsigned queue) const noexcept {
  std::uint64_t count = 0;
  if (work_ == Work::none || ::bpf_map_lookup_elem(counts_.get(), &queue, &count) != 0) return std::nullopt;
  return count;
}

}  // namespace vigia::vf::xdp
