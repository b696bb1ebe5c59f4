// SPDX-License-Identifier: Apache-2.0
#include "hw/populated_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace vigia::hw {

PopulatedFile populate_file(const std::string& name, std::size_t size, unsigned memfd_flags) {
  PopulatedFile a;
  const auto failed = [&a](const char* step) {
    a.error = errno;
    a.step = step;
    return std::move(a);
  };
  a.fd = Fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | memfd_flags));
  if (!a.fd) return failed("memfd_create");
  if (::ftruncate(a.fd.get(), static_cast<off_t>(size)) != 0) return failed("ftruncate");
  void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, a.fd.get(), 0);
  if (p == MAP_FAILED) return failed("mmap");
  // MAP_POPULATE does not report failure. MADV_POPULATE_WRITE does (Linux 5.14; older ones say EINVAL and we believe
  // MAP_POPULATE).
  if (::madvise(p, size, MADV_POPULATE_WRITE) != 0 && errno != EINVAL) {
    failed("madvise(MADV_POPULATE_WRITE)");
    ::munmap(p, size);
    return a;
  }
  // The device maps this file, too: a size that cannot change is what protects it from SIGBUS. Where the kernel cannot
  // seal (hugetlb before 4.16) the device has its own guard.
  ::fcntl(a.fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  a.data = static_cast<std::byte*>(p);
  return a;
}

}  // namespace vigia::hw
