// SPDX-License-Identifier: Apache-2.0
// up, down and repair on libvirt's test driver and a port whose registers are a table: real define, start, metadata and
// amendments, no guest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "orchestrator/guest_ready.h"
#include "orchestrator/process_id.h"
#include "orchestrator/repair.h"
#include "orchestrator/vm_down.h"
#include "orchestrator/vm_up.h"
#include "pfdriver/control.h"
#include "pfdriver/manager.h"
#include "tests/pfdriver/fake_nic.h"
#include "tests/temp_dir.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// A vigia-pf in a thread, on a device of registers only.
class Port {
 public:
  explicit Port(const fs::path& socket) : socket_(socket) { start(); }
  ~Port() { stop(); }
  void start() {
    nic_ = std::make_unique<pf::test::FakeNic>();
    auto config = pf::parse_config("pf:\n  vfs: 4\n  vf: [{index: 0, name: web}]\n", "pf.yaml");
    manager_ = std::move(*pf::Manager::start(*nic_, *config, {}, true));
    server_ = std::move(*pf::ControlServer::listen(
        socket_, [this](std::string_view line) { return pf::answer_control(*manager_, line); }));
    stop_ = false;
    thread_ = std::thread([this] {
      while (!stop_) {
        std::vector<pollfd> fds;
        server_->add_to(fds);
        ::poll(fds.data(), fds.size(), 5);
        server_->serve(fds);
      }
    });
  }
  void stop() {
    if (!thread_.joinable()) return;
    stop_ = true;
    thread_.join();
    server_.reset();
  }
  pf::PfConfig config() {
    auto wishes = PfLink(socket_).wishes();
    EXPECT_TRUE(wishes) << wishes.error().text;
    pf::PfConfig out;
    out.vfs = wishes->vfs;
    out.vf = wishes->vf;
    out.taps = wishes->taps;
    return out;
  }

 private:
  fs::path socket_;
  std::unique_ptr<pf::test::FakeNic> nic_;
  std::unique_ptr<pf::Manager> manager_;
  std::unique_ptr<pf::ControlServer> server_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class LifeTest : public testing::Test {
 protected:
  LifeTest() : port_(dir_ / "pf.control") {
    auto host = LibvirtHost::open("test:///default");
    EXPECT_TRUE(host) << host.error().text;
    host_ = std::make_unique<LibvirtHost>(std::move(*host));
    dirs_ = {dir_ / "images", dir_ / "run"};
    fs::create_directories(dirs_.images / "probe");
    fs::create_directories(dirs_.images / "runtime/bin");
    for (const char* file : {"probe/vmlinux", "probe/initrd.img", "runtime/bin/qemu-system-x86_64"}) {
      std::ofstream(dirs_.images / file) << "x";
    }
    for (unsigned vf = 0; vf < 4; ++vf) std::ofstream(dir_ / ("vf" + std::to_string(vf) + ".sock")) << "";
    before_ = port_.config();
  }

  VmSpec spec(const std::string& name, const std::string& more) {
    auto parsed = parse_vm("vm:\n  name: " + name +
                               "\n  image: probe\n  vcpus: 1\n  memory: 128M\n  hugepages: {size: none, guest: 0}\n"
                               "  network: {mode: softnic, pf: " +
                               (dir_ / "").parent_path().string() + "}\n" + more,
                           "vm.yaml");
    EXPECT_TRUE(parsed) << parsed.error().text;
    return *parsed;
  }
  VmSpec agent(const std::string& name = "spy") {
    return spec(name, "  kind: vnma\n  tap: {tenants: [web], direction: rx}\n");
  }
  // The test driver takes domains of its own type only.
  Result<VmPlan> plan(VmSpec wanted) {
    auto made = plan_vm(*host_, dirs_, std::move(wanted), 0);
    if (made) {
      const auto at = made->xml.find("type=\"qemu\"");
      if (at != std::string::npos) made->xml.replace(at, 11, "type=\"test\"");
    }
    return made;
  }
  Vm vm(const std::string& name) {
    auto found = find_vm(*host_, name);
    EXPECT_TRUE(found) << found.error().text;
    return found ? *found : Vm{};
  }
  std::vector<Damage> damages() {
    const auto state = read_host_state(*host_, dirs_, {(dir_ / "pf.control").string()});
    EXPECT_TRUE(state) << state.error().text;
    return find_damage(*state);
  }
  std::vector<Mended> mend() {
    const auto state = read_host_state(*host_, dirs_, {(dir_ / "pf.control").string()});
    return repair(*host_, dirs_, *state, find_damage(*state), {});
  }
  void expect_nothing_left() {
    const auto catalog = read_catalog(*host_);
    ASSERT_TRUE(catalog);
    EXPECT_THAT(catalog->vms, IsEmpty());
    EXPECT_EQ(port_.config(), before_);
    EXPECT_TRUE(fs::is_empty(dirs_.run));
    EXPECT_THAT(damages(), IsEmpty());
  }

  vigia::test::TempDir dir_;
  Port port_;
  std::unique_ptr<LibvirtHost> host_;
  HostDirs dirs_;
  pf::PfConfig before_;
};

TEST_F(LifeTest, AnAgentComesAndGoesWithoutATrace) {
  const auto made = plan(agent());
  ASSERT_TRUE(made) << made.error().text;
  EXPECT_EQ(port_.config(), before_) << "a plan changes nothing";
  EXPECT_THAT(made->scopes, Contains(HasSubstr("VF 0 (web) receives")));
  const auto up = bring_up(*host_, *made, {});
  ASSERT_TRUE(up) << up.error().text;
  const Vm running = vm("spy");
  EXPECT_EQ(running.state, VmState::running);
  ASSERT_EQ(port_.config().taps.size(), 1u);
  EXPECT_EQ(port_.config().taps[0].name, "vm:spy");
  EXPECT_EQ(port_.config().taps[0].from, std::vector<unsigned>{0});
  EXPECT_EQ(port_.config().vf[*running.metadata.vf].name, "spy");
  EXPECT_THAT(damages(), IsEmpty());

  const auto again = plan(agent());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().exit_status(), 2);
  EXPECT_THAT(again.error().text, HasSubstr("is there already (running)"));

  const auto down = take_down(*host_, running, {});
  ASSERT_TRUE(down) << down.error().text;
  EXPECT_THAT(down->remarks, IsEmpty());
  expect_nothing_left();
}

TEST_F(LifeTest, EachStepThatFailsOrIsInterruptedIsUndone) {
  for (int stop_at = 0; stop_at < 6; ++stop_at) {
    const auto made = plan(agent());
    ASSERT_TRUE(made) << made.error().text;
    LifeHooks hooks;
    int steps = 0;
    hooks.interrupted = [&] { return steps++ == stop_at; };
    const auto up = bring_up(*host_, *made, hooks);
    ASSERT_FALSE(up) << stop_at;
    EXPECT_THAT(up.error().text, HasSubstr("interrupted"));
    expect_nothing_left();
  }
  LifeHooks deaf;
  deaf.wait_ready = [](const VmMetadata&, const auto&) { return Result<Done>(work_error("the guest says nothing")); };
  const auto up = bring_up(*host_, *plan(agent()), deaf);
  ASSERT_FALSE(up);
  EXPECT_EQ(up.error().text, "spy: the guest says nothing");
  expect_nothing_left();
}

TEST_F(LifeTest, AnAgentThatLooksForDuplicatesIsToldWhatIsMirroredToIt) {
  std::vector<std::string> told;
  LifeHooks hooks;
  hooks.tell_mirrors = [&](const VmMetadata& metadata, const std::string& port) {
    EXPECT_EQ(port_.config().taps.size(), 1u) << "once the mirror is there";
    told.push_back(metadata.kind + " " + port);
    return Result<Done>(work_error("it has a cold"));
  };
  ASSERT_TRUE(bring_up(*host_, *plan(agent()), hooks));
  EXPECT_THAT(told, IsEmpty()) << "it does not look for duplicates";
  ASSERT_TRUE(take_down(*host_, vm("spy"), {}));

  const auto made = plan(spec("spy", "  kind: vnma\n  tap: {tenants: [web], direction: rx}\n  capture: {dedup: on}\n"));
  ASSERT_TRUE(made) << made.error().text;
  const auto up = bring_up(*host_, *made, hooks);
  ASSERT_TRUE(up) << up.error().text;
  const std::string rule = "\"rules\":[{\"destination\":" + std::to_string(*made->placement.vf) + "}]";
  EXPECT_THAT(told, ElementsAre(AllOf(StartsWith("vnma "), HasSubstr(rule))));
  EXPECT_THAT(up->remarks, Contains(HasSubstr("spy does not know what is mirrored to it")));
  EXPECT_THAT(up->remarks, Contains(HasSubstr("it has a cold")));
  ASSERT_TRUE(take_down(*host_, vm("spy"), {}));
  expect_nothing_left();
}

TEST_F(LifeTest, AGuestWhoseQemuEndsIsNotWaitedFor) {
  LifeHooks hooks;
  hooks.wait_ready = [&](const VmMetadata& metadata, const auto& runs) {
    EXPECT_TRUE(*runs());
    EXPECT_TRUE(host_->destroy("spy"));
    return wait_for_guest(
        metadata, std::chrono::hours(1), [] { return false; }, runs);
  };
  const auto up = bring_up(*host_, *plan(agent()), hooks);
  ASSERT_FALSE(up);
  EXPECT_THAT(up.error().text, HasSubstr("spy: its QEMU ended before the guest's service was ready"));
  expect_nothing_left();
  EXPECT_FALSE(*host_->runs("spy")) << "nor is it there";
}

TEST_F(LifeTest, WhatTheNicCannotDoIsRefusedBeforeAnythingIsDone) {
  const auto made = plan(spec("spy", "  kind: vnma\n  tap: {tenants: [web], direction: tx}\n"));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().exit_status(), 2);
  EXPECT_THAT(made.error().text, HasSubstr("cannot mirror what one VF sends"));
  const auto unknown = plan(spec("spy", "  kind: vnma\n  tap: {tenants: [wep]}\n"));
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().text, HasSubstr("no VM or VF called 'wep'"));
  EXPECT_THAT(unknown.error().text, HasSubstr("there are: web"));
  expect_nothing_left();
}

TEST_F(LifeTest, StorageThatAFailedUpMadeIsRemovedAndOtherStorageStays) {
  const fs::path disk = dir_ / "disk.raw";
  const std::string more = "  kind: vnp\n  storage: {path: " + disk.string() + ", size: 16M}\n";
  LifeHooks deaf;
  deaf.wait_ready = [&](const VmMetadata&, const auto&) {
    EXPECT_EQ(fs::file_size(disk), 16u << 20);
    return Result<Done>(work_error("no"));
  };
  EXPECT_FALSE(bring_up(*host_, *plan(spec("probe1", more)), deaf));
  EXPECT_FALSE(fs::exists(disk));
  ASSERT_TRUE(bring_up(*host_, *plan(spec("probe1", more)), {}));
  ASSERT_TRUE(take_down(*host_, vm("probe1"), {}));
  EXPECT_TRUE(fs::exists(disk)) << "captured data stay";
  expect_nothing_left();
}

TEST_F(LifeTest, AGuestThatOutlivedItsSoftwareNicIsNamedAndLeftToTheUser) {
  ASSERT_TRUE(bring_up(*host_, *plan(agent()), {}));
  const VmMetadata metadata = vm("spy").metadata;
  const fs::path nic = fs::path(metadata.pf) / ("vf" + std::to_string(*metadata.vf) + ".sock");
  std::ofstream(metadata.channel) << "";
  fs::last_write_time(metadata.channel, fs::last_write_time(nic) + std::chrono::seconds(1));
  EXPECT_THAT(damages(), IsEmpty());
  fs::last_write_time(nic, fs::last_write_time(nic) + std::chrono::seconds(2));
  const auto found = mend();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].damage.kind, Damage::Kind::lost_nic);
  EXPECT_EQ(found[0].error, "vigia agent down spy, then up again: a guest takes its VF at its start");
  ASSERT_TRUE(take_down(*host_, vm("spy"), {}));
  expect_nothing_left();
}

TEST_F(LifeTest, RepairTakesBackAnUpThatWasKilled) {
  auto made = plan(agent());
  ASSERT_TRUE(made);
  // As the journal of a process that is gone: the same steps up to the mirror, and no end.
  VmMetadata journal = made->metadata;
  remove_undo(journal, kUndoStarting);
  journal.undo.push_back(std::string(kUndoStarting) + "999999999 1");
  ASSERT_TRUE(host_->define("spy", made->xml));
  ASSERT_TRUE(host_->set_metadata("spy", metadata_xml(journal)));
  ASSERT_TRUE(PfLink(dir_ / "pf.control").amend(whole(made->port)));
  ASSERT_TRUE(host_->start("spy"));
  EXPECT_EQ(vm("spy").state, VmState::interrupted);
  const auto mended = mend();
  ASSERT_EQ(mended.size(), 1u);
  EXPECT_EQ(mended[0].damage.kind, Damage::Kind::half_up);
  EXPECT_EQ(mended[0].error, "");
  expect_nothing_left();
}

// Seen with a real one killed: repair took the missing mirror for damage and made it anew.
TEST_F(LifeTest, RepairGoesOnWithADownThatWasKilled) {
  ASSERT_TRUE(bring_up(*host_, *plan(agent()), {}));
  const Vm running = vm("spy");
  VmMetadata journal = running.metadata;
  LifeHooks hooks;
  hooks.stop_guest = [&](const VmMetadata&) {  // in the middle of a `down`, the mirror already gone
    EXPECT_EQ(vm("spy").state, VmState::stopping);
    EXPECT_THAT(damages(), IsEmpty());
    journal = vm("spy").metadata;
    return Result<Done>(Done{});
  };
  ASSERT_TRUE(take_down(*host_, running, hooks));
  // The same, with the process gone.
  ASSERT_TRUE(bring_up(*host_, *plan(agent()), {}));
  remove_undo(journal, kUndoEnding);
  journal.undo.push_back(std::string(kUndoEnding) + "999999999 1");
  ASSERT_TRUE(host_->set_metadata("spy", metadata_xml(journal)));
  pf::Amendment mirror;
  mirror.remove_taps.push_back("vm:spy");
  ASSERT_TRUE(PfLink(dir_ / "pf.control").amend(mirror));
  EXPECT_EQ(vm("spy").state, VmState::interrupted);
  const auto mended = mend();
  ASSERT_EQ(mended.size(), 1u);
  EXPECT_EQ(mended[0].damage.kind, Damage::Kind::half_down);
  EXPECT_EQ(mended[0].error, "");
  expect_nothing_left();
}

TEST_F(LifeTest, AnUpAtWorkIsLeftAlone) {
  const auto made = plan(agent());
  ASSERT_TRUE(host_->define("spy", made->xml));
  EXPECT_EQ(vm("spy").state, VmState::starting);
  EXPECT_THAT(damages(), IsEmpty());
  ASSERT_TRUE(take_down(*host_, vm("spy"), {}));
}

TEST_F(LifeTest, OfTwoThatChoseTheSameVfTheLaterIsRefused) {
  const auto first = plan(agent("spy")), second = plan(agent("spy2"));
  ASSERT_TRUE(first && second);
  ASSERT_EQ(first->placement.vf, second->placement.vf);
  ASSERT_TRUE(bring_up(*host_, *first, {}));
  const pf::PfConfig with_first = port_.config();
  const auto up = bring_up(*host_, *second, {});
  ASSERT_FALSE(up);
  EXPECT_EQ(up.error().exit_status(), 2);
  EXPECT_THAT(up.error().text, HasSubstr("was taken by spy meanwhile"));
  EXPECT_EQ(port_.config(), with_first) << "the first keeps its VF";
  ASSERT_TRUE(take_down(*host_, vm("spy"), {}));
  expect_nothing_left();
}

TEST_F(LifeTest, RepairAfterTheGuestWentOff) {
  ASSERT_TRUE(bring_up(*host_, *plan(agent()), {}));
  ASSERT_TRUE(host_->destroy("spy"));
  EXPECT_EQ(vm("spy").state, VmState::stopped);
  const auto mended = mend();
  ASSERT_EQ(mended.size(), 1u);
  EXPECT_EQ(mended[0].damage.kind, Damage::Kind::ended);
  expect_nothing_left();
}

TEST_F(LifeTest, RepairAfterThePortManagerWentAndCame) {
  ASSERT_TRUE(bring_up(*host_, *plan(agent()), {}));
  const pf::PfConfig with_agent = port_.config();
  port_.stop();
  auto found = damages();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].kind, Damage::Kind::dead_port);
  EXPECT_FALSE(found[0].mendable);
  EXPECT_THAT(found[0].remedy, StartsWith("start vigia-pf"));
  port_.start();
  found = damages();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].kind, Damage::Kind::lost_wish);
  EXPECT_EQ(mend()[0].error, "");
  EXPECT_EQ(port_.config(), with_agent);
  ASSERT_TRUE(take_down(*host_, vm("spy"), {}));
  expect_nothing_left();
}

TEST_F(LifeTest, DownWithoutThePortManagerSaysSo) {
  ASSERT_TRUE(bring_up(*host_, *plan(agent()), {}));
  port_.stop();
  const auto down = take_down(*host_, vm("spy"), {});
  ASSERT_TRUE(down) << down.error().text;
  EXPECT_EQ(down->remarks.size(), 2u) << "the mirror and the VF";
  port_.start();
  expect_nothing_left();
}

TEST_F(LifeTest, OrphanTapsAndStrayFilesAreRemoved) {
  pf::Amendment tap;
  tap.taps.push_back(*[] {
    auto parsed = pf::parse_amendment("{taps: [{name: \"vm:ghost\", from: [0], to: 3}]}", "x");
    return std::optional(parsed->taps[0]);
  }());
  ASSERT_TRUE(PfLink(dir_ / "pf.control").amend(tap));
  fs::create_directories(dirs_.run);
  std::ofstream(dirs_.run / "ghost.console.log") << "boot";
  std::ofstream(dirs_.run / "notes.txt") << "the user's";
  const auto mended = mend();
  ASSERT_EQ(mended.size(), 2u);
  EXPECT_EQ(mended[0].damage.kind, Damage::Kind::orphan_tap);
  EXPECT_EQ(mended[1].damage.kind, Damage::Kind::stray_file);
  EXPECT_TRUE(fs::exists(dirs_.run / "notes.txt"));
  EXPECT_EQ(port_.config(), before_);
}

TEST(ProcessId, TellsProcessesApart) {
  const ProcessId self = ProcessId::self();
  EXPECT_TRUE(self.alive());
  EXPECT_EQ(ProcessId::parse(self.text()), self);
  EXPECT_FALSE((ProcessId{self.pid, self.start + 1}).alive());
  EXPECT_FALSE((ProcessId{999999999, 1}).alive());
  for (const char* text : {"", "1", "x 1", "1 x", "0 1", "-1 1", "1 1 1"}) EXPECT_FALSE(ProcessId::parse(text)) << text;
}

TEST(LibvirtHost, NobodyThereIsASentence) {
  const auto host = LibvirtHost::open("qemu+unix:///system?socket=/nonexistent/sock");
  ASSERT_FALSE(host);
  EXPECT_EQ(host.error().exit_status(), 1);
  EXPECT_THAT(host.error().text, HasSubstr("is libvirtd up"));
}

}  // namespace
}  // namespace vigia::orch
