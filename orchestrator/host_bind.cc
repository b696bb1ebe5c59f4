// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/host_bind.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <optional>

#include "hw/fd.h"
#include "hw/pci_sysfs.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kVfio = "vfio-pci";

Result<Done> write_file(const fs::path& file, const std::string& text) {
  const Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) return Done{};
  Error error = os_error(fmt::format("write \"{}\" to {}", text.substr(0, text.find('\n')), file.string()));
  if (error.code == std::errc::permission_denied) error.text += "; only root may";
  return error;
}

Result<Done> modprobe(const std::string& name) {
  const pid_t child = ::fork();
  if (child < 0) return os_error("start modprobe");
  if (child == 0) {
    ::execlp("modprobe", "modprobe", "--", name.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  if (::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0) return Done{};
  return work_error(fmt::format("load the kernel module {}: modprobe failed; is it built for this kernel?", name));
}

// What had the function before us.
struct Before {
  std::string driver, override_;
};

fs::path file_of(const DriverHost& host, const hw::PciAddress& address) { return host.remembered / address.text(); }

std::optional<Before> recall(const DriverHost& host, const hw::PciAddress& address) {
  std::ifstream in(file_of(host, address));
  Before before;
  if (!in || !std::getline(in, before.driver)) return std::nullopt;
  std::getline(in, before.override_);
  return before;
}

Result<Done> remember(const DriverHost& host, const hw::PciAddress& address, const Before& before) {
  std::error_code failed;
  fs::create_directories(host.remembered, failed);
  const fs::path file = file_of(host, address), fresh = file.string() + ".new";
  std::ofstream out(fresh);
  out << before.driver << "\n" << before.override_ << "\n";
  out.close();
  if (out) fs::rename(fresh, file, failed);
  if (!out || failed) return work_error(fmt::format("remember the driver of {} in {}", address.text(), file.string()));
  return Done{};
}

// Interfaces of the function that are up.
std::string interfaces_up(const hw::PciFacts& facts) {
  constexpr unsigned long kUp = 1;  // IFF_UP
  std::string out;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(facts.folder / "net", gone)) {
    const std::string flags = hw::read_small_file(entry.path() / "flags");
    if ((std::strtoul(flags.c_str(), nullptr, 16) & kUp) == 0) continue;
    out += (out.empty() ? "" : ", ") + entry.path().filename().string();
  }
  return out;
}

Result<Done> may_be_taken(const hw::PciFacts& facts, bool force) {
  if (!facts.present) {
    return input_error(
        fmt::format("{}: this machine has no such PCI device; `lspci -D` lists them", facts.address.text()));
  }
  const std::string up = interfaces_up(facts);
  if (force || up.empty()) return Done{};
  return input_error(fmt::format(
      "{}: its network interface {} is up, and would be gone; `ip link set dev {} down` first, or say --force",
      facts.address.text(), up, up.substr(0, up.find(','))));
}

// From whatever driver to the one that override_ names; empty: to the one that its id matches, or with probe off to
// none.
Result<Done> hand_over(const DriverHost& host, const hw::PciFacts& facts, const std::string& override_, bool probe) {
  const std::string address = facts.address.text();
  if (auto ok = host.write(facts.folder / "driver_override", override_ + "\n"); !ok) return ok;
  if (!facts.driver.empty()) {
    const fs::path unbind = host.sys / "bus/pci/drivers" / facts.driver / "unbind";
    if (auto ok = host.write(unbind, address); !ok) return ok;
  }
  return probe ? host.write(host.sys / "bus/pci/drivers_probe", address) : Done{};
}

Binding binding_of(const hw::PciFacts& now, const std::string& before) {
  Binding out{before, now.driver, {}};
  if (now.driver != kVfio) return out;
  for (const auto& [address, driver] : now.neighbours) {
    if (!driver.empty() && driver != kVfio && driver != "pcieport" && driver != "pci-stub") {
      out.neighbours.push_back(fmt::format("{} ({})", address, driver));
    }
  }
  return out;
}

Result<Done> load_what_is_missing(const DriverHost& host, const std::string& driver) {
  std::error_code failed;
  if (!fs::exists(host.sys / "bus/pci/drivers" / driver, failed)) {
    if (auto ok = host.load(driver); !ok) return ok;
  }
  if (driver != kVfio || fs::exists(host.sys / "module/vfio_iommu_type1", failed)) return Done{};
  (void)host.load("vfio_iommu_type1");  // may be built in, and is not needed with iommufd: opening tells
  return Done{};
}

}  // namespace

DriverHost DriverHost::here(const fs::path& run) { return {"/sys", run / "bind", &write_file, &modprobe}; }

Result<Binding> bind_function(const DriverHost& host, const hw::PciAddress& address, const std::string& driver,
                              bool force) {
  const hw::PciFacts before = hw::look_at(address, host.sys);
  if (auto ok = may_be_taken(before, force || before.driver == driver); !ok) return ok.error();
  if (before.driver == driver) return binding_of(before, driver);
  if (auto ok = load_what_is_missing(host, driver); !ok) return ok.error();
  std::string override_ = hw::read_small_file(before.folder / "driver_override");
  if (override_ == "(null)") override_.clear();
  const bool ours = recall(host, address).has_value();
  if (!ours) {
    if (auto ok = remember(host, address, {before.driver, override_}); !ok) return ok.error();
  }
  const auto done = hand_over(host, before, driver, true);
  const hw::PciFacts now = hw::look_at(address, host.sys);
  if (done && now.driver == driver) return binding_of(now, before.driver);
  (void)hand_over(host, now, override_, !before.driver.empty());  // what went wrong first is what is told
  std::error_code ignored;
  if (!ours) fs::remove(file_of(host, address), ignored);
  if (!done) return done.error();
  return work_error(
      fmt::format("bind {} to {}: the driver does not take this device; it has its driver back ({}). `dmesg | "
                  "tail` may tell why",
                  address.text(), driver, before.driver.empty() ? "none" : before.driver));
}

Result<Binding> restore_function(const DriverHost& host, const hw::PciAddress& address, bool force) {
  const hw::PciFacts facts = hw::look_at(address, host.sys);
  if (auto ok = may_be_taken(facts, force); !ok) return ok.error();
  const auto before = recall(host, address);
  if (!before) {
    return input_error(fmt::format("{}: no driver is remembered in {}; it is held by {}", address.text(),
                                   host.remembered.string(), facts.driver.empty() ? "none" : facts.driver));
  }
  if (!before->driver.empty()) {
    if (auto ok = load_what_is_missing(host, before->driver); !ok) return ok.error();
  }
  if (auto ok = hand_over(host, facts, before->override_, !before->driver.empty()); !ok) return ok.error();
  const hw::PciFacts now = hw::look_at(address, host.sys);
  if (now.driver != before->driver) {
    return work_error(fmt::format("give {} back to {}: it is held by {}; `dmesg | tail` may tell why", address.text(),
                                  before->driver.empty() ? "no driver" : before->driver,
                                  now.driver.empty() ? "none" : now.driver));
  }
  std::error_code ignored;
  fs::remove(file_of(host, address), ignored);
  return binding_of(now, facts.driver);
}

}  // namespace vigia::orch
