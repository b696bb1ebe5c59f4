// SPDX-License-Identifier: Apache-2.0
// The doctor before real processes: a software NIC with traffic, its manager, a tenant, and `vigia-capture serve`,
// which is what runs in a probe; only QEMU and the guest's kernel are left out. Faults are signals, wires and files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "orchestrator/child.h"
#include "orchestrator/doctor_facts.h"
#include "orchestrator/vm_down.h"
#include "orchestrator/vm_up.h"
#include "tests/temp_dir.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::IsSupersetOf;

// Programs lie beside this one.
fs::path program(const std::string& name) {
  const char* elsewhere = std::getenv("VIGIA_BIN");
  return (elsewhere != nullptr ? fs::path(elsewhere) : fs::read_symlink("/proc/self/exe").parent_path()) / name;
}

constexpr const char* kToWeb = "gen:size=128,flows=4,rate=0.001mpps,dst=02:00:00:00:00:01";

class DoctorLive : public testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("VIGIA_ACCELERATOR");  // whoever runs the tests may forbid KVM; this host is a made one
    for (const char* name : {"vigia-softnic", "vigia-pf", "vigia-capture"}) {
      if (!fs::exists(program(name))) GTEST_SKIP() << "SKIPPED, NOT PASSED: no " << program(name);
    }
    host_ = std::make_unique<LibvirtHost>(std::move(*LibvirtHost::open("test:///default")));
    for (const char* file :
         {"images/probe/vmlinux", "images/probe/initrd.img", "images/runtime/bin/qemu-system-x86_64", "root/dev/kvm"}) {
      write(file, "x");
    }
    write("root/sys/devices/system/node/node0/cpulist", "0-3");
    write("root/sys/devices/system/cpu/online", "0-3");
    fs::create_directories(dir_ / "root/proc/net");
    fs::create_symlink("/proc/net/unix", dir_ / "root/proc/net/unix");
    options_.uri = "test:///default";
    options_.dirs = {dir_ / "images", dir_ / "run"};
    options_.root = dir_ / "root";
    options_.limit = 5s;  // sanitizers, and others on the same cores
  }
  void TearDown() override {
    if (host_ == nullptr) return;
    for (auto& [name, child] : children_) child.signal(SIGCONT);
    const auto catalog = read_catalog(*host_);
    for (const Vm& vm : catalog->vms) (void)take_down(*host_, vm, {});
  }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((dir_ / path).parent_path());
    std::ofstream(dir_ / path) << text << '\n';
  }
  std::string at(const std::string& path) const { return (dir_ / path).string(); }
  void start(const std::string& name, std::vector<std::string> argv) {
    argv[0] = program(argv[0]).string();
    auto child = Child::start({name, argv, dir_ / (name + ".log"), {"VIGIA_RUN_DIR=" + at("")}});
    ASSERT_TRUE(child) << child.error().text;
    children_.insert_or_assign(name, std::move(*child));
  }
  void wait_for(const std::string& file) {
    const auto there = wait_until(file, 30s, [&] { return fs::exists(dir_ / file); });
    ASSERT_TRUE(there) << there.error().text << last_lines(dir_ / "pf.log", 5) << last_lines(dir_ / "spy.log", 5);
  }
  void start_nic(const std::string& wire) {
    start("softnic", {"vigia-softnic", "--dir", at("nic"), "--vfs", "3", "--wire", wire, "--start-when-ready", "2",
                      "--counters", at("nic/softnic.counters")});
    wait_for("nic/vf2.sock");
  }
  void start_pf() {
    write("pf.yaml", "pf:\n  vfs: 3\n  vf: [{index: 0, name: web, mac: \"02:00:00:00:00:01\"}]");
    start("pf", {"vigia-pf", "--device", "vfio-user:" + at("nic/pf.sock"), "--config", at("pf.yaml"), "--control",
                 at("nic/pf.control"), "--ready-file", at("pf.ready")});
    wait_for("pf.ready");
  }
  void start_tenant() {
    start("web", {"vigia-capture", "tenant", "--device", "vfio-user:" + at("nic/vf0.sock"), "--name", "web",
                  "--ready-file", at("web.ready")});
    wait_for("web.ready");
  }
  void start_guest(const std::string& device = "", const std::vector<std::string>& more = {},
                   const std::string& storage = "none") {
    write("spy.json", R"({"role":"probe","name":"spy","capture":{"ring":"8M","max_file":"1M"},"storage":{"mode":")" +
                          storage + "\"}}");
    std::vector<std::string> argv{"vigia-capture", "serve",
                                  "--config",      at("spy.json"),
                                  "--device",      device.empty() ? "vfio-user:" + at("nic/vf1.sock") : device,
                                  "--channel",     "unix:" + at("run/spy.channel")};
    argv.insert(argv.end(), more.begin(), more.end());
    start("spy", argv);
  }
  // Defines the agent and its mirror; its guest is started apart.
  void up() {
    auto spec = parse_vm(
        "vm:\n  name: spy\n  kind: vnma\n  tap: {tenants: [web], direction: rx}\n  image: probe\n"
        "  vcpus: 1\n  memory: 128M\n  hugepages: {size: none, guest: 0}\n  acceleration: tcg\n  network: {mode: "
        "softnic, "
        "vf: 1, pf: " +
            at("nic") + "}\n",
        "vm.yaml");
    ASSERT_TRUE(spec) << spec.error().text;
    auto plan = plan_vm(*host_, options_.dirs, *spec, 0);
    ASSERT_TRUE(plan) << plan.error().text;
    const auto type = plan->xml.find("type=\"qemu\"");
    ASSERT_NE(type, std::string::npos) << plan->xml;
    plan->xml.replace(type, 11, "type=\"test\"");
    const auto done = bring_up(*host_, *plan, {});
    ASSERT_TRUE(done) << done.error().text;
  }
  void everything(const std::string& wire = kToWeb) {
    start_nic(wire);
    start_pf();
    up();
    start_guest();
    start_tenant();
  }

  std::vector<Finding> findings() { return diagnose(narrowed(gather_facts(options_), "spy")); }
  // Without what these processes have not: hugepages, storage.
  std::set<std::string> codes() {
    std::set<std::string> out;
    for (const Finding& finding : findings()) {
      if (finding.code != "ring-small-pages" && finding.code != "no-reader") out.insert(finding.code);
    }
    return out;
  }
  // Until traffic has brought things to pass; at most so long.
  std::set<std::string> codes_once(const std::function<bool(const std::set<std::string>&)>& good) {
    std::set<std::string> last;
    for (int i = 0; i < 40; ++i) {
      if (last = codes(); good(last)) break;
      std::this_thread::sleep_for(250ms);
    }
    return last;
  }
  std::set<std::string> codes_with(const std::string& code) {
    return codes_once([&](const auto& now) { return now.contains(code); });
  }

  test::TempDir dir_;
  DoctorOptions options_;
  std::unique_ptr<LibvirtHost> host_;
  std::map<std::string, Child> children_;
};

TEST_F(DoctorLive, NothingIsWrongThenProcessesHangAndDie) {
  everything();
  EXPECT_THAT(codes_once([](const auto& now) { return now.empty(); }), testing::IsEmpty());

  children_.at("spy").signal(SIGSTOP);
  EXPECT_THAT(codes(), IsSupersetOf({"guest-silent"}));
  children_.at("spy").signal(SIGCONT);

  children_.at("pf").signal(SIGSTOP);
  // Beside it the guest may have noticed that its PF does not answer.
  EXPECT_THAT(codes_with("port-manager-silent"), IsSupersetOf({"port-manager-silent"}));
  children_.at("pf").signal(SIGCONT);

  children_.at("web").signal(SIGSTOP);
  EXPECT_THAT(codes_with("no-descriptor"), IsSupersetOf({"no-descriptor"}));
  children_.at("web").signal(SIGKILL);
  EXPECT_THAT(codes_with("tap-source-idle"), IsSupersetOf({"tap-source-idle"}));

  children_.at("spy").signal(SIGKILL);
  EXPECT_THAT(codes_with("guest-unreachable"), IsSupersetOf({"guest-unreachable"}));
  children_.at("pf").signal(SIGKILL);
  EXPECT_THAT(codes_with("port-manager-down"), IsSupersetOf({"port-manager-down"}));
  children_.at("softnic").signal(SIGKILL);
  EXPECT_THAT(codes_with("softnic-dead"), IsSupersetOf({"softnic-dead", "port-manager-down"}));
}

TEST_F(DoctorLive, AWireThatIsQuiet) {
  everything("null");
  const std::set<std::string> quiet{"nothing-copied", "wire-quiet"};
  EXPECT_EQ(codes_once([&](const auto& now) { return now == quiet; }), quiet);
}

TEST_F(DoctorLive, FramesThatThePortDoesNotTake) {
  everything("gen:size=4000,flows=4,rate=0.001mpps,dst=02:00:00:00:00:01");
  EXPECT_THAT(codes_with("frames-oversize"), IsSupersetOf({"frames-oversize", "nothing-copied"}));
}

TEST_F(DoctorLive, AGuestWithoutADeviceAndWithoutItsDisk) {
  start_nic("null");
  start_pf();
  up();
  start_guest("auto", {}, "virtio");
  EXPECT_THAT(codes_with("guest-no-device"),
              IsSupersetOf({"guest-no-device", "storage-unusable", "vf-driver-absent", "tap-source-idle"}));
}

TEST_F(DoctorLive, AGuestWhosePortIsNotManagedAndItsAddressChanged) {
  everything();
  EXPECT_THAT(codes_once([](const auto& now) { return now.empty(); }), testing::IsEmpty());
  VmMetadata metadata = find_vm(*host_, "spy")->metadata;
  metadata.mac = "02:00:00:00:00:77";
  ASSERT_TRUE(host_->set_metadata("spy", metadata_xml(metadata)));
  const std::set<std::string> changed{"guest-mac-differs", "wishes-lost"};
  EXPECT_EQ(codes_once([&](const auto& now) { return now == changed; }), changed);

  children_.at("spy").signal(SIGKILL);
  children_.at("pf").signal(SIGTERM);
  EXPECT_TRUE(children_.at("pf").wait_or_kill(10s));
  start_guest();
  EXPECT_THAT(codes_with("guest-port-down"), IsSupersetOf({"port-manager-down", "guest-port-down"}));
}

}  // namespace
}  // namespace vigia::orch
