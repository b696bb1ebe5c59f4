// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/sriov.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "hw/fd.h"
#include "hw/pci_sysfs.h"

namespace vigia::pf {
namespace {

namespace fs = std::filesystem;

template <class T>
std::optional<T> number_in(const fs::path& file, int base = 10) {
  std::string text = hw::read_small_file(file);
  if (base == 16 && text.starts_with("0x")) text.erase(0, 2);
  T value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A PF in switchdev mode has its representors in the same folder; they carry a port name "pf0vf1", the PF's own "p0".
bool is_representor(const fs::path& interface) {
  return hw::read_small_file(interface / "phys_port_name").find("vf") != std::string::npos;
}

}  // namespace

Result<Sriov> Sriov::find(std::string_view spec, fs::path sys) {
  std::string_view rest = spec;
  if (spec.starts_with("pci:")) {
    rest.remove_prefix(4);
    const auto address = hw::PciAddress::parse(rest);
    if (address) return Sriov(*address, std::move(sys));
    return input_error(fmt::format(
        "device '{}': '{}' is no PCI address; want DOMAIN:BUS:DEVICE.FUNCTION as `lspci -D` shows it, 0000:01:00.0",
        spec, rest));
  }
  if (spec.starts_with("netdev:")) rest.remove_prefix(7);
  if (rest.empty() || rest.find_first_of(":/") != std::string_view::npos) {
    return input_error(fmt::format(
        "device '{}': generator kernel takes pci:ADDRESS, for example pci:0000:01:00.0, or the name of the port's "
        "interface, for example eth0",
        spec));
  }
  const auto address = hw::PciAddress::parse(hw::link_name(sys / "class/net" / rest / "device"));
  if (address) return Sriov(*address, std::move(sys));
  return input_error(
      fmt::format("device '{}': there is no interface {} of a PCI device; `ip link` lists interfaces", spec, rest));
}

fs::path Sriov::folder() const { return sys_ / "bus/pci/devices" / address_.text(); }

Result<SriovFacts> Sriov::look() const {
  std::error_code ignored;
  const fs::path at = folder();
  if (!fs::exists(at, ignored)) {
    return input_error(fmt::format("{}: there is no such PCI device; `lspci -D` lists them", address_.text()));
  }
  SriovFacts facts;
  facts.id = {number_in<std::uint16_t>(at / "vendor", 16).value_or(0),
              number_in<std::uint16_t>(at / "device", 16).value_or(0)};
  facts.driver = hw::link_name(at / "driver");
  for (const std::string& name : hw::names_in(at / "net")) {
    if (facts.interface.empty() && !is_representor(at / "net" / name)) facts.interface = name;
  }
  const auto total = number_in<unsigned>(at / "sriov_totalvfs");
  if (!total) {
    return input_error(fmt::format(
        "{}: the device has no SR-IOV (no sriov_totalvfs in {}); is it a physical function, and is SR-IOV on in the "
        "firmware's set-up?",
        address_.text(), at.string()));
  }
  facts.total_vfs = *total;
  facts.vfs = number_in<unsigned>(at / "sriov_numvfs").value_or(0);
  if (const auto autoprobe = number_in<unsigned>(at / "sriov_drivers_autoprobe")) facts.autoprobe = *autoprobe != 0;
  for (unsigned v = 0; v < facts.vfs; ++v) {
    const auto vf = hw::PciAddress::parse(hw::link_name(at / fmt::format("virtfn{}", v)));
    if (!vf) break;
    facts.functions.push_back({*vf, hw::link_name(sys_ / "bus/pci/devices" / vf->text() / "driver")});
  }
  return facts;
}

Result<Done> Sriov::write(const fs::path& file, std::string_view text, std::string_view remedy) const {
  const Fd fd(::open(file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    Error error = os_error(fmt::format("write {} to {}", text, file.string()));
    error.text += fmt::format("; {}", remedy);
    return error;
  }
  return Done{};
}

Result<Done> Sriov::set_vfs(unsigned count) const {
  return write(folder() / "sriov_numvfs", fmt::format("{}", count),
               "the PF's driver may allow fewer VFs, or VFs may be in use; the kernel's log tells (dmesg)");
}

Result<Done> Sriov::set_autoprobe(bool on) const {
  return write(folder() / "sriov_drivers_autoprobe", on ? "1" : "0", "is this program run as root?");
}

Result<Done> Sriov::probe(const hw::PciAddress& vf) const {
  return write(sys_ / "bus/pci/drivers_probe", vf.text(),
               "is the VF's driver loaded, and is this program run as root?");
}

std::string Sriov::representor(unsigned index) const {
  // The kernel's names: "pf0vf3", before 4.20 some drivers' "3" alone. Interfaces of the same switch share its id.
  const fs::path at = folder() / "net";
  for (const std::string& name : hw::names_in(at)) {
    if (hw::read_small_file(at / name / "phys_switch_id").empty()) continue;
    const std::string port = hw::read_small_file(at / name / "phys_port_name");
    const auto vf = port.find("vf");
    if (vf != std::string::npos && port.substr(vf + 2) == fmt::format("{}", index)) return name;
  }
  return "";
}

}  // namespace vigia::pf
