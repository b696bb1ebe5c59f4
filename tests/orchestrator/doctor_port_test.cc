// SPDX-License-Identifier: Apache-2.0
// Faults made on a real manager, libvirt's test driver and a described host; the doctor has to name them from what it
// can ask. The port is registers only, changed behind the manager's back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "hw/unix_socket.h"
#include "orchestrator/doctor_facts.h"
#include "orchestrator/vm_down.h"
#include "orchestrator/vm_up.h"
#include "pfdriver/control.h"
#include "pfdriver/manager.h"
#include "tests/pfdriver/fake_nic.h"
#include "tests/temp_dir.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;
namespace reg = hw::ixgbe::pf;
namespace mbx = hw::ixgbe::mbx;
using testing::UnorderedElementsAre;

constexpr unsigned kTenant = 0;

// A vigia-pf in a thread.
class Port {
 public:
  explicit Port(const fs::path& socket) {
    manager_ = std::move(*pf::Manager::start(
        nic_,
        *pf::parse_config("pf:\n  vfs: 4\n  vf: [{index: 0, name: web, mac: \"02:00:00:00:00:01\"}]\n", "pf.yaml"), {},
        true));
    server_ = std::move(*pf::ControlServer::listen(
        socket, [this](std::string_view line) { return pf::answer_control(*manager_, line); }));
    thread_ = std::thread([this] {
      while (!stop_) {
        std::vector<pollfd> fds;
        server_->add_to(fds);
        ::poll(fds.data(), fds.size(), 5);
        const std::lock_guard lock(mutex_);
        server_->serve(fds);
      }
    });
  }
  ~Port() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    stop_ = true;
    thread_.join();
    server_.reset();
  }
  // Behind the manager's back.
  template <class Work>
  void meddle(Work work) {
    const std::lock_guard lock(mutex_);
    work(nic_);
  }
  // What a VF's driver says first, or later.
  void vf_says(unsigned vf, const mbx::Message& message) {
    const std::lock_guard lock(mutex_);
    nic_.vf_sends(vf, message);
    manager_->service();
    (void)nic_.vf_reads(vf);
    nic_.vf_acks(vf);
    manager_->service();
  }
  void driver_starts(unsigned vf) { vf_says(vf, {mbx::word0(mbx::Id::reset)}); }
  std::mutex& hang() { return mutex_; }

 private:
  pf::test::FakeNic nic_;
  std::unique_ptr<pf::Manager> manager_;
  std::unique_ptr<pf::ControlServer> server_;
  std::mutex mutex_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class DoctorPort : public testing::Test {
 protected:
  DoctorPort() : port_(control()) {
    ::unsetenv("VIGIA_ACCELERATOR");  // whoever runs the tests may forbid KVM; this host is a made one
    auto host = LibvirtHost::open("test:///default");
    host_ = std::make_unique<LibvirtHost>(std::move(*host));
    dirs_ = {dir_ / "images", dir_ / "run"};
    for (const char* file :
         {"images/probe/vmlinux", "images/probe/initrd.img", "images/runtime/bin/qemu-system-x86_64", "root/dev/kvm"}) {
      write(file, "x");
    }
    write("root/sys/devices/system/node/node0/cpulist", "0-3");
    write("root/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "8");
    write("root/sys/devices/system/cpu/online", "0-3");
    std::string listeners;
    for (unsigned vf = 0; vf < 4; ++vf) {
      const std::string name = "vf" + std::to_string(vf) + ".sock";
      write(name, "");
      listeners += "0000: 00000002 00000000 00010000 0001 01 7 " + (dir_ / name).string() + "\n";
    }
    write("root/proc/net/unix", listeners);
    options_.uri = "test:///default";
    options_.dirs = dirs_;
    options_.root = dir_ / "root";
    options_.growth = std::chrono::milliseconds(0);
    options_.limit = std::chrono::milliseconds(1000);
  }
  ~DoctorPort() override {
    const auto catalog = read_catalog(*host_);
    for (const Vm& vm : catalog->vms) (void)take_down(*host_, vm, {});
  }

  fs::path control() const { return dir_ / "pf.control"; }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((dir_ / path).parent_path());
    std::ofstream(dir_ / path) << text << '\n';
  }

  void up(const std::string& more = "  kind: vnma\n  tap: {tenants: [web], direction: rx}\n") {
    auto spec = parse_vm(
        "vm:\n  name: spy\n  image: probe\n  vcpus: 1\n  memory: 128M\n  hugepages: {size: none, "
        "guest: 0}\n  acceleration: tcg\n  network: {mode: softnic, pf: " +
            dir_.path().string() + "}\n" + more,
        "vm.yaml");
    ASSERT_TRUE(spec) << spec.error().text;
    auto plan = plan_vm(*host_, dirs_, *spec, 0);
    ASSERT_TRUE(plan) << plan.error().text;
    const auto type = plan->xml.find("type=\"qemu\"");
    ASSERT_NE(type, std::string::npos) << plan->xml;
    plan->xml.replace(type, 11, "type=\"test\"");
    const auto done = bring_up(*host_, *plan, {});
    ASSERT_TRUE(done) << done.error().text;
    vf_ = *find_vm(*host_, "spy")->metadata.vf;
    port_.driver_starts(kTenant);
    port_.driver_starts(vf_);
  }
  void amend(const std::string& change) {
    const auto parsed = pf::parse_amendment(change, "x");
    ASSERT_TRUE(parsed) << parsed.error().text;
    ASSERT_TRUE(PfLink(control()).amend(*parsed));
  }

  // Without what this fixture has not: a guest, and counters.
  std::set<std::string> codes(const std::string& name = "spy") {
    Facts facts = gather_facts(options_);
    if (!name.empty()) facts = narrowed(std::move(facts), name);
    std::set<std::string> out;
    for (const Finding& finding : diagnose(facts)) {
      if (finding.code != "guest-unreachable" && finding.code != "not-known") out.insert(finding.code);
    }
    return out;
  }

  test::TempDir dir_;
  Port port_;
  std::unique_ptr<LibvirtHost> host_;
  HostDirs dirs_;
  DoctorOptions options_;
  unsigned vf_ = 0;
};

TEST_F(DoctorPort, NothingIsWrong) {
  up();
  EXPECT_THAT(codes(), UnorderedElementsAre());
  EXPECT_THAT(codes(""), UnorderedElementsAre());
}

TEST_F(DoctorPort, RegistersChangedBehindTheManagersBack) {
  up();
  struct Row {
    const char* code;
    std::function<void(pf::test::FakeNic&)> meddle;
  };
  const Row rows[] = {
      {"loopback-off", [](auto& nic) { nic.set(reg::PFDTXGSWC.at(), 0); }},
      {"spoof-check-off", [](auto& nic) { nic.set(reg::PFVFSPOOF.at(0), 0); }},
      {"tap-without-rule", [](auto& nic) { nic.set(reg::PFMRCTL.at(0), 0); }},
      {"address-missing",
       [](auto& nic) {
         for (std::uint32_t i = 2; i < 256; ++i) nic.set(reg::MPSAR.at(i), 0);
       }},
      {"blocks-port",
       [](auto& nic) { nic.write32(reg::PFQDE.at(), hw::ixgbe::Pfqde::we | 0u << hw::ixgbe::Pfqde::index_shift); }},
  };
  pf::test::FakeNic::Snapshot good;
  port_.meddle([&](auto& nic) { good = nic.snapshot(); });
  for (const Row& row : rows) {
    SCOPED_TRACE(row.code);
    port_.meddle(row.meddle);
    EXPECT_THAT(codes(), testing::IsSupersetOf({std::string(row.code), std::string("register-drift")}));
    port_.meddle([&](auto& nic) { nic.restore(good); });
    EXPECT_THAT(codes(), UnorderedElementsAre());
  }
  // Those that the device may change itself are no drift.
  const Row enables[] = {
      {"receive-off", [](auto& nic) { nic.set(reg::PFVFRE.at(0), 0); }},
      {"transmit-off", [](auto& nic) { nic.set(reg::PFVFTE.at(0), 0); }},
      {"port-down", [](auto& nic) { nic.set(reg::RXCTRL.at(), 0); }},
      {"link-down", [](auto& nic) { nic.no_link = true; }},
  };
  for (const Row& row : enables) {
    SCOPED_TRACE(row.code);
    port_.meddle(row.meddle);
    EXPECT_THAT(codes(), UnorderedElementsAre(row.code));
    port_.meddle([&](auto& nic) {
      nic.restore(good);
      nic.no_link = false;
    });
  }
}

TEST_F(DoctorPort, VlanFilterAndMembersLost) {
  amend("{vf: [{index: 0, name: web, mac: \"02:00:00:00:00:01\", vlan: 100, port_vlan: true}]}");
  up();
  EXPECT_THAT(codes(), UnorderedElementsAre());
  port_.meddle([](auto& nic) { nic.set(reg::VLNCTRL.at(), 0); });
  EXPECT_THAT(codes(), UnorderedElementsAre("vlan-filter-off", "register-drift"));
  port_.meddle([](auto& nic) {
    for (std::uint32_t i = 0; i < 64; ++i) nic.set(reg::PFVLVF.at(i), 0);
  });
  EXPECT_THAT(codes(), UnorderedElementsAre("vlan-filter-off", "vlan-missing", "register-drift"));
}

TEST_F(DoctorPort, ARuleThatNobodyAskedFor) {
  up();
  port_.meddle([](auto& nic) { nic.set(reg::PFMRCTL.at(2), hw::ixgbe::Mrctl::upme); });
  EXPECT_THAT(codes(), UnorderedElementsAre("rule-without-tap", "register-drift"));
}

TEST_F(DoctorPort, AProbeWhosePortIsNotOpen) {
  up("  kind: vnp\n");
  EXPECT_THAT(codes(), UnorderedElementsAre());
  port_.meddle([](auto& nic) { nic.set(reg::FCTRL.at(), 0); });
  EXPECT_THAT(codes(), UnorderedElementsAre("port-not-promiscuous", "register-drift"));
  port_.meddle(
      [](auto& nic) { nic.set(reg::PFVTCTL.at(), nic.get(reg::PFVTCTL.at()) | hw::ixgbe::Pfvtctl::dis_def_pool); });
  EXPECT_THAT(codes(), UnorderedElementsAre("port-not-promiscuous", "port-without-pool", "register-drift"));
}

TEST_F(DoctorPort, WhatAGuestAsksInVain) {
  up();
  port_.vf_says(vf_, {mbx::word0(mbx::Id::api_negotiate), static_cast<std::uint32_t>(mbx::Api::v1_3)});
  port_.vf_says(vf_, {mbx::word0(mbx::Id::update_xcast_mode), static_cast<std::uint32_t>(mbx::Xcast::promisc)});
  EXPECT_THAT(codes(), UnorderedElementsAre("promiscuous-asked"));
  port_.vf_says(vf_, {mbx::word0(mbx::Id::update_xcast_mode), static_cast<std::uint32_t>(mbx::Xcast::multi)});
  EXPECT_THAT(codes(), UnorderedElementsAre());
}

TEST_F(DoctorPort, TrustDoesNotMakeAProbeSeeMore) {
  up("  kind: vnma\n  tap: {tenants: [web], direction: rx}\n");
  const auto wishes = PfLink(control()).wishes();
  pf::Amendment change;
  change.vf.push_back(wishes->vf[vf_]);
  change.vf[0].trust = true;
  ASSERT_TRUE(PfLink(control()).amend(change));
  EXPECT_THAT(codes(), UnorderedElementsAre("trust-without-effect"));
}

TEST_F(DoctorPort, DriversThatAreGone) {
  up();
  port_.meddle([](auto& nic) { nic.vf_resets(kTenant); });
  port_.vf_says(3, {mbx::word0(mbx::Id::reset)});  // makes the manager look
  EXPECT_THAT(codes(), UnorderedElementsAre("tap-source-idle"));
  port_.meddle([this](auto& nic) { nic.vf_resets(vf_); });
  port_.vf_says(3, {mbx::word0(mbx::Id::reset)});
  EXPECT_THAT(codes(), UnorderedElementsAre("tap-source-idle", "vf-driver-absent"));
}

TEST_F(DoctorPort, TapsThatAreGoneOrLeft) {
  up();
  amend("{taps: [{name: \"vm:ghost\", from: [0], to: 3}]}");
  EXPECT_THAT(codes(""), UnorderedElementsAre("orphan-tap"));
  EXPECT_THAT(codes(), UnorderedElementsAre()) << "no business of spy's";
  amend("{remove_taps: [\"vm:spy\", \"vm:ghost\"]}");
  EXPECT_THAT(codes(), UnorderedElementsAre("wishes-lost"));
  amend("{taps: [{name: \"vm:spy\", from: [0], to: 3}]}");
  EXPECT_THAT(codes(), UnorderedElementsAre("tap-elsewhere"));
}

TEST_F(DoctorPort, TheManagerHangsOrIsGone) {
  up();
  {
    const std::lock_guard hang(port_.hang());
    EXPECT_THAT(codes(), UnorderedElementsAre("port-manager-silent"));
  }
  EXPECT_THAT(codes(), UnorderedElementsAre());
  port_.stop();
  EXPECT_THAT(codes(), UnorderedElementsAre("port-manager-down"));
  write("root/proc/net/unix", "");
  EXPECT_THAT(codes(), UnorderedElementsAre("port-manager-down", "softnic-dead"));
}

TEST_F(DoctorPort, VmsThatAreNotThere) {
  up();
  write("run/ghost.console.log", "boot");
  EXPECT_THAT(codes(""), UnorderedElementsAre("stray-file"));
  VmMetadata metadata = find_vm(*host_, "spy")->metadata;
  metadata.until = 1;
  ASSERT_TRUE(host_->set_metadata("spy", metadata_xml(metadata)));
  EXPECT_THAT(codes(), UnorderedElementsAre("vm-expired"));
  metadata.until = 0;
  metadata.undo.push_back(std::string(kUndoStarting) + "999999999 1");
  ASSERT_TRUE(host_->set_metadata("spy", metadata_xml(metadata)));
  EXPECT_THAT(codes(), UnorderedElementsAre("vm-interrupted"));
  metadata.undo.pop_back();
  ASSERT_TRUE(host_->set_metadata("spy", metadata_xml(metadata)));
  ASSERT_TRUE(host_->destroy("spy"));
  EXPECT_THAT(codes(), UnorderedElementsAre("vm-stopped"));
}

TEST_F(DoctorPort, LibvirtIsGoneOrHangs) {
  options_.uri = "qemu+unix:///system?socket=" + (dir_ / "none.sock").string();
  EXPECT_THAT(codes(""), UnorderedElementsAre("libvirt-down"));
  const auto listener = hw::listen_unix(dir_ / "dumb.sock", hw::Audience::owner);
  ASSERT_TRUE(listener);
  options_.uri = "qemu+unix:///system?socket=" + (dir_ / "dumb.sock").string();
  EXPECT_THAT(codes(""), UnorderedElementsAre("libvirt-silent"));
}

TEST_F(DoctorPort, AHostThatLacksThings) {
  fs::remove(dir_ / "root/dev/kvm");
  up();
  EXPECT_THAT(codes(), UnorderedElementsAre("no-kvm"));
  write("root/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "0");
  EXPECT_THAT(codes(), UnorderedElementsAre("no-kvm")) << "its VMs do without hugepages";
  ASSERT_TRUE(take_down(*host_, *find_vm(*host_, "spy"), {}));
  EXPECT_THAT(codes(""), UnorderedElementsAre("no-hugepages"));
  options_.device = (dir_ / "root").string();
  EXPECT_THAT(codes(""), testing::IsSupersetOf({"softnic-missing", "port-manager-down"}));
}

}  // namespace
}  // namespace vigia::orch
