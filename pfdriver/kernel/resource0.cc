// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/resource0.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "hw/fd.h"
#include "hw/pci_sysfs.h"

namespace vigia::pf {
namespace {

// Every access lies inside the mapping, so nothing is ever trapped.
class NoTrap final : public hw::Bar::Trap {
 public:
  std::uint32_t read32(std::uint32_t) noexcept override { return ~0u; }
  void write32(std::uint32_t, std::uint32_t) noexcept override {}
};
NoTrap no_trap;

}  // namespace

Error explain_refusal(int error_number, const std::filesystem::path& file, std::string_view lockdown) {
  Error error = os_error("map " + file.string(), error_number);
  const bool locked = lockdown.find("[integrity]") != std::string_view::npos ||
                      lockdown.find("[confidentiality]") != std::string_view::npos;
  constexpr std::string_view kElse = "or use generator: native, or a tap that needs no registers";
  if (locked) {
    error.text += fmt::format(
        "; the kernel is locked down (Secure Boot does that), which forbids access to registers: "
        "boot without lockdown, {}",
        kElse);
  } else if (error_number == EINVAL || error_number == EPERM) {
    error.text += fmt::format(
        "; the kernel reserves registers for its driver (CONFIG_IO_STRICT_DEVMEM): boot with "
        "iomem=relaxed on its command line, {}",
        kElse);
  } else if (error_number == EACCES) {
    error.text += "; is this program run as root?";
  } else {
    error.text += "; does the device have memory registers in BAR 0?";
  }
  return error;
}

Result<std::unique_ptr<Resource0>> Resource0::open(const std::filesystem::path& folder,
                                                   const std::filesystem::path& root) {
  const std::filesystem::path file = folder / "resource0";
  const auto refuse = [&](int error_number) {
    return explain_refusal(error_number, file, hw::read_small_file(root / "sys/kernel/security/lockdown"));
  };
  const Fd fd(::open(file.c_str(), O_RDWR | O_SYNC | O_CLOEXEC));
  if (!fd) return refuse(errno);
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0) return refuse(errno);
  const auto bytes = static_cast<std::size_t>(facts.st_size);
  if (bytes < 0x20000) {
    return work_error(fmt::format(
        "map {}: it has {} bytes, ports of these families have 131072 and more; is this a PF?", file.string(), bytes));
  }
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return refuse(errno);
  return std::unique_ptr<Resource0>(new Resource0(memory, bytes));
}

Resource0::Resource0(void* memory, std::size_t bytes) : memory_(memory), bytes_(bytes) {
  const std::span<std::byte> pages(static_cast<std::byte*>(memory), bytes);
  bar_ =
      std::make_unique<hw::Bar>(static_cast<std::uint32_t>(bytes), no_trap, std::vector<hw::Bar::Window>{{0, pages}});
}

Resource0::~Resource0() { ::munmap(memory_, bytes_); }

void AllowedRegisters::write(std::uint32_t offset, std::uint32_t value) {
  const AllowedRegister* row = family_->find(offset);
  check(row != nullptr);
  const std::uint32_t kept = row->mask == ~0u ? 0 : bar_->load(offset) & ~row->mask;
  bar_->store(offset, kept | (value & row->mask));
}

}  // namespace vigia::pf
