// SPDX-License-Identifier: Apache-2.0
// A host with an 82576 under Linux's igb: a sysfs tree on disk, rtnetlink and registers in memory, and what the driver
// does with the registers when a VF is reset or set.
#pragma once

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "hw/igb/regs_pf.h"
#include "hw/pci_sysfs.h"
#include "pfdriver/kernel/manager.h"

namespace vigia::pf::test {

namespace igb = hw::igb::pf;

struct FakeHost : hw::Bar::Trap {
  static constexpr const char* kPf = "0000:01:00.0";

  explicit FakeHost(std::filesystem::path root, const std::string& id = "0x10c9", const std::string& driver = "igb")
      : sys(std::move(root)), bar(igb::kBarSize, *this) {
    namespace fs = std::filesystem;
    fs::create_directories(pf() / "net/eth0");
    fs::create_directories(sys / "bus/pci/drivers" / driver);
    fs::create_directories(sys / "bus/pci/drivers/igbvf");
    fs::create_directories(sys / "class/net/eth0");
    fs::create_directory_symlink(sys / "bus/pci/drivers" / driver, pf() / "driver");
    fs::create_directory_symlink(pf(), sys / "class/net/eth0/device");
    put(pf() / "vendor", "0x8086");
    put(pf() / "device", id);
    put(pf() / "sriov_totalvfs", "7");
    put(pf() / "sriov_numvfs", "0");
    put(pf() / "sriov_drivers_autoprobe", "1");
    put(sys / "bus/pci/drivers_probe", "");
    link.index = 2;
    link.name = "eth0";
    link.mtu = 1500;
  }

  std::filesystem::path pf() const { return sys / "bus/pci/devices" / kPf; }
  static void put(const std::filesystem::path& file, const std::string& text) { std::ofstream(file) << text << "\n"; }
  std::string get(const char* file) const { return hw::read_small_file(pf() / file); }

  // What the kernel does when sriov_numvfs is written; a test's sysfs is only files, so a look does it.
  void settle() {
    namespace fs = std::filesystem;
    const auto wanted = static_cast<std::size_t>(std::stoul("0" + get("sriov_numvfs")));
    while (link.vfs.size() > wanted) {
      fs::remove(pf() / ("virtfn" + std::to_string(link.vfs.size() - 1)));
      link.vfs.pop_back();
    }
    while (link.vfs.size() < wanted) {
      const auto v = static_cast<unsigned>(link.vfs.size());
      const std::string address = "0000:01:10." + std::to_string(2 * v);
      fs::create_directories(sys / "bus/pci/devices" / address);
      fs::create_directory_symlink(sys / "bus/pci/devices" / address, pf() / ("virtfn" + std::to_string(v)));
      VfFacts facts;
      facts.spoof_check = true;
      facts.trust = false;
      facts.rate_mbps = 0;
      facts.link = VfLink::automatic;
      link.vfs.push_back(facts);
      vfs_made_while_up = link.up;
      autoprobe_when_made = get("sriov_drivers_autoprobe");
    }
    const std::string probed = hw::read_small_file(sys / "bus/pci/drivers_probe");
    if (probed.empty()) return;
    probes.push_back(probed);
    put(sys / "bus/pci/drivers_probe", "");
    if (!no_vf_driver && get("sriov_drivers_autoprobe") == "1") {
      fs::create_directory_symlink(sys / "bus/pci/drivers/igbvf", sys / "bus/pci/devices" / probed / "driver");
    }
  }

  // igb, when VF v is reset: its address anew, its pool's acceptance anew, hashes of UTA gone.
  void reset_vf(unsigned v) {
    const hw::Mac mac = link.vfs[v].mac;
    words[igb::RAH.at(23 - v)] =
        igb::Rah::av | 1u << (igb::Rah::pools_shift + v) | static_cast<std::uint32_t>(mac.packed() >> 32);
    words[igb::VMOLR.at(v)] = 0x0900'0000 | 1522;
    words[igb::VFRE.at()] |= 1u << v;
    for (std::uint32_t i = 0; i < igb::kHashWords; ++i) words[igb::UTA.at(i)] = 0;
  }

  // hw::Bar::Trap. UTA cannot be read; a 82576 of QEMU's keeps no mirror rules.
  std::uint32_t read32(std::uint32_t offset) noexcept override {
    ++reads;
    if (igb::UTA.index_of(offset) >= 0) return 0;
    return words[offset];
  }
  void write32(std::uint32_t offset, std::uint32_t value) noexcept override {
    if (writes_left && *writes_left == 0) {
      if (on_last_write) std::exchange(on_last_write, nullptr)();
      return;
    }
    if (writes_left) --*writes_left;
    written.push_back(offset);
    if (!has_rules && offset >= 0x5D80 && offset < 0x5DB0) return;
    if (offset == swallow) return;
    words[offset] = value;
  }

  class Netlink final : public RouteNetlink {
   public:
    explicit Netlink(FakeHost& host) : host_(host) {}
    Result<LinkFacts> link(const std::string&) override {
      host_.settle();
      return host_.link;
    }
    Result<Done> set_up(const std::string&, bool up) override {
      host_.link.up = host_.link.carrier = up;
      return Done{};
    }
    Result<Done> set_mtu(const std::string&, unsigned mtu) override {
      host_.link.mtu = mtu;
      return Done{};
    }
    Result<Done> set_vf(const std::string&, unsigned v, const VfChange& change) override {
      host_.journal_when_set = hw::read_small_file(host_.journal);
      if (v >= host_.link.vfs.size()) return os_error("set VF", EINVAL);
      if (host_.fail_on && change.trust) return os_error("set VF", EOPNOTSUPP);
      VfFacts& vf = host_.link.vfs[v];
      if (change.mac) vf.mac = *change.mac;
      if (change.mac) host_.reset_vf(v);
      if (change.vlan) vf.vlan = *change.vlan;
      if (change.spoof_check && !host_.ignore_spoof) vf.spoof_check = change.spoof_check;
      if (change.trust) vf.trust = change.trust;
      if (change.rate_mbps) vf.rate_mbps = change.rate_mbps;
      if (change.link) vf.link = change.link;
      ++host_.vf_sets;
      return Done{};
    }
    bool take_events() override { return std::exchange(host_.event, false); }

   private:
    FakeHost& host_;
  };

  // tc that keeps its filters in a list.
  class Traffic final : public TrafficControl {
   public:
    explicit Traffic(FakeHost& host) : host_(host) {}
    int index_of(const std::string& interface) override {
      return std::filesystem::exists(host_.pf() / "net" / interface) ? 10 : 0;
    }
    std::vector<std::string> interfaces() override {
      std::vector<std::string> out;
      for (const auto& filter : host_.filters) out.push_back(filter.from);
      return out;
    }
    Result<bool> need_hooks(const std::string&) override { return true; }
    Result<Done> drop_hooks(const std::string&) override { return Done{}; }
    Result<Done> add(const MirrorFilter& filter, Matcher matcher) override {
      if (host_.no_offload) return os_error("mirror", EOPNOTSUPP);
      EXPECT_EQ(matcher, Matcher::hardware);
      host_.filters.push_back(filter);
      return Done{};
    }
    Result<Done> remove(const std::string& interface, Hook hook, std::uint16_t priority) override {
      std::erase_if(host_.filters, [&](const MirrorFilter& f) {
        return f.from == interface && f.hook == hook && f.priority == priority;
      });
      return Done{};
    }
    Result<std::vector<FoundFilter>> ours(const std::string& interface, Hook hook) override {
      std::vector<FoundFilter> out;
      for (const MirrorFilter& f : host_.filters) {
        if (f.from == interface && f.hook == hook) out.push_back({f.priority, 10, 0, 0});
      }
      return out;
    }

   private:
    FakeHost& host_;
  };

  // The PF in switchdev mode: VFs have representors beside the PF's interface.
  void add_representors(unsigned vfs) {
    put(pf() / "net/eth0/phys_switch_id", "aa");
    put(pf() / "net/eth0/phys_port_name", "p0");
    for (unsigned v = 0; v < vfs; ++v) {
      const std::filesystem::path at = pf() / "net" / ("eth0_" + std::to_string(v));
      std::filesystem::create_directories(at);
      put(at / "phys_switch_id", "aa");
      put(at / "phys_port_name", "pf0vf" + std::to_string(v));
    }
  }

  KernelWays ways() {
    return KernelWays{*Sriov::find("pci:0000:01:00.0", sys), std::make_unique<Netlink>(*this),
                      [this]() -> Result<hw::Bar*> {
                        if (locked) return explain_refusal(EINVAL, pf() / "resource0", "");
                        return &bar;
                      },
                      std::make_unique<Traffic>(*this)};
  }

  std::filesystem::path sys;
  LinkFacts link;
  hw::Bar bar;
  std::map<std::uint32_t, std::uint32_t> words;
  std::vector<std::uint32_t> written;
  std::vector<std::string> probes;
  std::string autoprobe_when_made, journal_when_set;
  std::filesystem::path journal;
  std::optional<unsigned> writes_left;
  std::function<void()> on_last_write;  // called at the first write that is lost
  std::uint32_t swallow = ~0u;
  unsigned vf_sets = 0, reads = 0;
  std::vector<MirrorFilter> filters;
  bool no_offload = false, has_rules = false, locked = false, event = false, ignore_spoof = false, fail_on = false,
       no_vf_driver = false, vfs_made_while_up = false;
};

}  // namespace vigia::pf::test
