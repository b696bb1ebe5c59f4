// SPDX-License-Identifier: Apache-2.0
// Every code of the doctor has a fault that brings it up, and a healthy system has none. Hand-made facts; the same
// codes on real registers and processes are in doctor_port_test.cc and doctor_live_test.cc.
#include "orchestrator/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "orchestrator/doctor_facts.h"
#include "tests/orchestrator/host_samples.h"

namespace vigia::orch {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kPci = "0000:3b:00.0";
constexpr const char* kControl = "/run/vigia/pf.control";

hw::Mac mac(unsigned vf) { return hw::Mac{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(vf + 1)}}; }

VmFacts make_vm(const std::string& name, const std::string& kind, unsigned vf) {
  VmFacts out;
  out.vm.name = out.vm.placed.name = name;
  out.vm.state = VmState::running;
  out.vm.metadata.kind = out.vm.placed.kind = kind;
  out.vm.metadata.pf = kPci;
  out.vm.metadata.control = kControl;
  out.vm.metadata.vf = vf;
  out.vm.metadata.mac = mac(vf).text();
  out.vm.metadata.spec_file = name + ".yaml";
  out.vm.placed.node = 0;
  out.vm.placed.vcpu_cpus = {vf};
  out.vm.placed.page_size = k2M;
  out.guest = Answer::yes;
  return out;
}

PortFacts make_port() {
  PortFacts port;
  port.control = kControl;
  port.pf = kPci;
  port.wishes.vfs = 2;
  port.view.up = port.view.link = port.view.loopback = true;
  port.view.max_frame = 1518;
  for (unsigned v = 0; v < 2; ++v) {
    pf::VfConfig wish;
    wish.index = v;
    wish.mac = mac(v);
    wish.name = v == 0 ? "web" : "spy";
    port.wishes.vf.push_back(wish);
    pf::VfView view;
    view.index = v;
    view.macs = {mac(v)};
    view.spoof_check = view.receive = view.transmit = view.drop_when_full = view.broadcast = true;
    view.driver = pf::VfDriverView{true, "1.3", false, 0, ""};
    port.view.vfs.push_back(view);
  }
  pf::Tap tap;
  tap.name = "vm:spy";
  tap.from = {0};
  tap.to = 1;
  port.wishes.taps = {tap};
  pf::MirrorRule rule;
  rule.pool = true;
  rule.destination = 1;
  rule.sources = 1;
  port.view.rules = port.view.wanted_rules = {rule};
  port.view.scopes = {"rule 0 -> VF 1 (spy): every frame that VF 0 (web) receives"};
  port.softnic = SoftNicFacts{"/run/nic", {0, 1}, std::set<unsigned>{0, 1}};
  port.counters = {{"wire.sent", 100}, {"vf1.copies", 50}, {"vf1.written", 50}};
  return port;
}

Facts healthy() {
  Facts facts;
  Inventory host = make_host(2, 8);
  add_nic(host, 0, 2);
  host.nics[0].driver = "vfio-pci";
  facts.host.inventory = host;
  facts.host.uri = "qemu:///system";
  facts.host.autoprobe = {{kPci, false}};
  facts.ports.push_back(make_port());
  facts.vms = {make_vm("web", "tenant", 0), make_vm("spy", "vnma", 1)};
  facts.vms[0].interfaces = {{"eth0", mac(0).text(), "up", false}};
  facts.vms[1].vm.metadata.tap = "vm:spy";
  CaptureFacts capture;
  capture.state = "capturing";
  capture.port_up = capture.link = true;
  capture.mac = mac(1).text();
  capture.queues = 1;
  capture.frames = 50;
  capture.ring_bytes = 64u << 20;
  capture.store_directory = "/data";
  capture.disk_free = 1u << 30;
  facts.vms[1].capture = capture;
  return facts;
}

std::vector<std::string> codes(const Facts& facts) {
  std::vector<std::string> out;
  for (const Finding& finding : diagnose(facts)) out.push_back(finding.code);
  return out;
}

pf::Tap& make_port_tap(Facts& f) {
  pf::Tap& tap = f.ports[0].wishes.taps[0];
  tap.port = true;
  tap.from.clear();
  f.ports[0].view.promiscuous = true;
  f.ports[0].view.default_pool = 1;
  return tap;
}

void damage(Facts& f, Damage::Kind kind) { f.damages.push_back({kind, "spy", kControl, "what", "does so", true}); }

void manager(Facts& f, Answer answer) {
  f.ports[0].manager = answer;
  f.ports[0].manager_said = "connect: refused";
}
void guest(Facts& f, Answer answer) {
  f.vms[1].guest = answer;
  f.vms[1].guest_said = "connect: refused";
}

struct Fault {
  const char* code;
  std::function<void(Facts&)> make;
};

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all{
      // host
      {"libvirt-down", [](Facts& f) { f.host.libvirt = Answer::nobody, f.host.libvirt_said = "refused"; }},
      {"libvirt-silent", [](Facts& f) { f.host.libvirt = Answer::silent, f.host.libvirt_said = "3 s"; }},
      {"domain-not-understood", [](Facts& f) { f.host.domain_remarks = {"old: no kind"}; }},
      {"no-iommu", [](Facts& f) { f.host.inventory->iommu = false; }},
      {"no-kvm", [](Facts& f) { f.host.inventory->kvm = false; }},
      {"no-hugepages",
       [](Facts& f) {
         for (NumaNode& node : f.host.inventory->nodes) node.huge = {{k2M, {0, 0}}};
       }},
      {"softnic-missing", [](Facts& f) { f.ports[0].softnic->sockets.clear(); }},
      {"softnic-dead",
       [](Facts& f) {
         f.ports[0].softnic->served->clear();
         manager(f, Answer::nobody);
       }},
      {"no-vfio-pci", [](Facts& f) { f.host.kernel.vfio_pci = Module::missing; }},
      {"pf-driver", [](Facts& f) { f.host.inventory->nics[0].driver.clear(); }},
      {"pf-down", [](Facts& f) { f.host.nics[kPci].up = false; }},
      {"pf-no-carrier", [](Facts& f) { f.host.nics[kPci].up = true; }},
      {"no-vfs", [](Facts& f) { f.host.inventory->nics[0].vfs_enabled = 0; }},
      {"vf-driver", [](Facts& f) { f.host.inventory->nics[0].vfs[1].driver = "ixgbevf"; }},
      {"vfs-on-host", [](Facts& f) { f.host.inventory->nics[0].vfs[1].driver = "ixgbevf"; }},
      {"group-not-viable", [](Facts& f) { f.host.nics[kPci].vfs[1].company = {"0000:3b:00.0 (ixgbe)"}; }},
      {"registers-closed", [](Facts& f) { f.host.nics[kPci].registers_closed = "mmap: Invalid argument"; }},
      {"autoprobe-on", [](Facts& f) { f.host.autoprobe[kPci] = true; }},
      {"numa-mismatch", [](Facts& f) { f.vms[0].vm.placed.node = 1; }},
      {"cores-shared", [](Facts& f) { f.vms[0].vm.placed.vcpu_cpus = f.vms[1].vm.placed.vcpu_cpus; }},
      // life
      {"vm-interrupted", [](Facts& f) { damage(f, Damage::Kind::half_up); }},
      {"vm-stopped", [](Facts& f) { damage(f, Damage::Kind::ended); }},
      {"vm-expired", [](Facts& f) { damage(f, Damage::Kind::expired); }},
      {"vm-starting", [](Facts& f) { f.vms[1].vm.state = VmState::starting; }},
      {"wishes-lost", [](Facts& f) { damage(f, Damage::Kind::lost_wish); }},
      {"nic-lost", [](Facts& f) { damage(f, Damage::Kind::lost_nic); }},
      {"orphan-tap", [](Facts& f) { damage(f, Damage::Kind::orphan_tap); }},
      {"stray-file", [](Facts& f) { damage(f, Damage::Kind::stray_file); }},
      {"vf-claimed-twice", [](Facts& f) { f.vms[0].vm.metadata.vf = 1; }},
      {"vf-not-managed", [](Facts& f) { f.vms[1].vm.metadata.vf = 7; }},
      // port
      {"port-manager-down", [](Facts& f) { manager(f, Answer::nobody); }},
      {"port-manager-silent", [](Facts& f) { manager(f, Answer::silent); }},
      {"port-down", [](Facts& f) { f.ports[0].view.up = false; }},
      {"link-down", [](Facts& f) { f.ports[0].view.link = false; }},
      {"vf-driver-absent", [](Facts& f) { f.ports[0].view.vfs[0].driver->ready = false; }},
      {"receive-off", [](Facts& f) { f.ports[0].view.vfs[0].receive = false; }},
      {"transmit-off", [](Facts& f) { f.ports[0].view.vfs[0].transmit = false; }},
      {"address-missing", [](Facts& f) { f.ports[0].view.vfs[0].macs.clear(); }},
      {"address-twice", [](Facts& f) { f.ports[0].view.vfs[1].macs.push_back(mac(0)); }},
      {"vlan-missing", [](Facts& f) { f.ports[0].wishes.vf[0].vlan = 100; }},
      {"vlan-filter-off", [](Facts& f) { f.ports[0].wishes.vf[0].vlan = 100; }},
      {"loopback-off", [](Facts& f) { f.ports[0].view.loopback = false; }},
      {"blocks-port", [](Facts& f) { f.ports[0].view.vfs[1].drop_when_full = false; }},
      {"spoof-check-off", [](Facts& f) { f.ports[0].view.vfs[0].spoof_check = false; }},
      {"spoof-check-forced", [](Facts& f) { f.ports[0].wishes.vf[0].spoof_check = false; }},
      {"register-drift",
       [](Facts& f) {
         f.ports[0].view.drift = {{"MAXFRS", "largest frame", 1, 2}};
       }},
      {"setting-overruled",
       [](Facts& f) {
         f.ports[0].view.overruled = {{"MAC of VF 0 (web)", "02:00:00:00:00:01", "02:00:00:00:00:55"}};
       }},
      // mirror
      {"tap-without-rule", [](Facts& f) { f.ports[0].view.rules.clear(); }},
      {"rule-without-tap", [](Facts& f) { f.ports[0].view.wanted_rules.clear(); }},
      {"tap-elsewhere", [](Facts& f) { f.ports[0].wishes.taps[0].to = 0; }},
      {"tap-source-idle", [](Facts& f) { f.ports[0].view.vfs[0].driver->ready = false; }},
      {"port-not-promiscuous",
       [](Facts& f) {
         make_port_tap(f);
         f.ports[0].view.promiscuous = false;
       }},
      {"port-without-pool",
       [](Facts& f) {
         make_port_tap(f);
         f.ports[0].view.default_pool.reset();
       }},
      {"port-filters-vlans",
       [](Facts& f) {
         make_port_tap(f);
         f.ports[0].view.vlan_filter = true;
       }},
      {"promiscuous-asked", [](Facts& f) { f.ports[0].view.vfs[1].driver->wants_promiscuous = true; }},
      {"guest-promiscuous", [](Facts& f) { f.vms[0].interfaces->front().promiscuous = true; }},
      {"trust-without-effect", [](Facts& f) { f.ports[0].wishes.vf[1].trust = true; }},
      // guest
      {"guest-unreachable", [](Facts& f) { guest(f, Answer::nobody); }},
      {"guest-silent", [](Facts& f) { guest(f, Answer::silent); }},
      {"capture-ended", [](Facts& f) { f.vms[1].capture->state = "ended"; }},
      {"guest-no-device",
       [](Facts& f) {
         f.vms[1].capture->state = "waiting";
         f.vms[1].capture->why = "find a VF: none that this program drives is bound to vfio-pci or uio_pci_generic";
         f.vms[1].capture->port_up = false;
       }},
      {"guest-port-down", [](Facts& f) { f.vms[1].capture->port_up = false, f.vms[1].capture->why = "no CTS"; }},
      {"guest-link-down", [](Facts& f) { f.vms[1].capture->link = false; }},
      {"guest-no-queue", [](Facts& f) { f.vms[1].capture->queues = 0; }},
      {"guest-no-interface", [](Facts& f) { f.vms[0].interfaces->clear(); }},
      {"guest-interface-down", [](Facts& f) { f.vms[0].interfaces->front().state = "down"; }},
      {"guest-mac-differs", [](Facts& f) { f.vms[1].capture->mac = mac(9).text(); }},
      {"disk-full", [](Facts& f) { f.vms[1].capture->disk_dropped = 3; }},
      {"storage-unusable", [](Facts& f) { f.vms[1].capture->store_problem = "no disk"; }},
      {"disk-low", [](Facts& f) { f.vms[1].capture->disk_free = 1u << 20; }},
      {"ring-full", [](Facts& f) { f.vms[1].capture->accounts["engine.ring_full"] = 1; }},
      {"store-lapped", [](Facts& f) { f.vms[1].capture->accounts["store.lapped"] = 1; }},
      {"listener-lapped",
       [](Facts& f) {
         f.vms[1].capture->listeners = {{42, false, 1, 0}};
       }},
      {"no-reader", [](Facts& f) { f.vms[1].capture->store_directory.clear(); }},
      {"ring-small-pages", [](Facts& f) { f.vms[1].capture->ring_hugepages = false; }},
      // traffic
      {"queue-off", [](Facts& f) { f.ports[0].growth["vf0.queue_disabled"] = 5; }},
      {"dma-fault", [](Facts& f) { (*f.ports[0].counters)["vf0.dma_fault"] = 1; }},
      {"frames-not-taken", [](Facts& f) { f.vms[1].capture->frames = 0; }},
      {"no-descriptor", [](Facts& f) { (*f.ports[0].counters)["vf1.no_descriptor"] = 1; }},
      {"port-missed", [](Facts& f) { (*f.ports[0].counters)["wire.missed"] = 1; }},
      {"frames-oversize", [](Facts& f) { (*f.ports[0].counters)["wire.filtered_oversize"] = 1; }},
      {"vlan-filtered", [](Facts& f) { (*f.ports[0].counters)["wire.filtered_vlan"] = 1; }},
      {"frames-spoofed", [](Facts& f) { (*f.ports[0].counters)["tx.spoofed"] = 1; }},
      {"transmit-refused", [](Facts& f) { (*f.ports[0].counters)["tx.refused"] = 1; }},
      {"transmit-malformed", [](Facts& f) { (*f.ports[0].counters)["tx.malformed"] = 1; }},
      {"nothing-copied",
       [](Facts& f) {
         f.vms[1].capture->frames = 0;
         f.ports[0].counters = {{"wire.sent", 100}};
       }},
      {"wire-quiet",
       [](Facts& f) {
         f.ports[0].counters = {{"wire.sent", 0}, {"vf1.copies", 1}};
       }},
      {"not-known",
       [](Facts& f) {
         f.unknown = {{kPci, "what the NIC counts", "no file"}};
       }},
  };
  return all;
}

TEST(Doctor, AHealthySystemHasNoFindings) { EXPECT_THAT(codes(healthy()), IsEmpty()); }

TEST(Doctor, EachFaultIsNamedWithEvidenceAndRemedy) {
  for (const Fault& fault : faults()) {
    Facts facts = healthy();
    fault.make(facts);
    bool found = false;
    for (const Finding& finding : diagnose(facts)) {
      SCOPED_TRACE(fault.code);
      EXPECT_FALSE(finding.subject.empty() || finding.sentence.empty() || finding.evidence.empty() ||
                   finding.remedy.empty())
          << finding.code;
      found = found || finding.code == fault.code;
    }
    EXPECT_TRUE(found) << fault.code << " not found; found: " << testing::PrintToString(codes(facts));
  }
}

TEST(Doctor, EachCodeHasAFaultAndIsThereOnce) {
  std::vector<std::string_view> with_fault;
  for (const Fault& fault : faults()) with_fault.push_back(fault.code);
  EXPECT_THAT(doctor_codes(), testing::UnorderedElementsAreArray(with_fault));
}

// The fault is what is said first, unless a worse consequence is of the same severity.
TEST(Doctor, ErrorsComeFirstAndCausesBeforeConsequences) {
  Facts facts = healthy();
  facts.host.autoprobe[kPci] = true;
  facts.vms[1].capture->port_up = false;
  facts.ports[0].manager = Answer::nobody;
  EXPECT_EQ(codes(facts), (std::vector<std::string>{"port-manager-down", "guest-port-down", "autoprobe-on"}));
}

TEST(Doctor, WithANameOnlyWhatThatVmDependsOn) {
  Facts facts = healthy();
  facts.vms.push_back(make_vm("other", "vnp", 5));
  facts.vms[2].vm.metadata.control = "/run/other.control";
  facts.vms[2].guest = Answer::nobody;
  facts.ports.push_back(make_port());
  facts.ports[1].control = "/run/other.control";
  facts.ports[1].view.link = false;
  facts.damages.push_back({Damage::Kind::ended, "other", "", "off", "x", true});
  EXPECT_THAT(codes(facts), Contains("link-down"));
  EXPECT_THAT(codes(narrowed(facts, "spy")), IsEmpty());
  // The tenant that it is shown is part of it.
  facts.ports[0].view.vfs[0].receive = false;
  EXPECT_THAT(codes(narrowed(facts, "spy")), testing::ElementsAre("receive-off"));
  EXPECT_THAT(codes(narrowed(facts, "other")), testing::IsSupersetOf({"link-down", "guest-unreachable", "vm-stopped"}));
}

TEST(Doctor, PromiscuousWishesAreAnsweredWithWhatWorks) {
  Facts facts = healthy();
  facts.ports[0].view.vfs[1].driver->wants_promiscuous = true;
  for (const bool trust : {false, true}) {
    facts.ports[0].wishes.vf[1].trust = trust;
    const auto findings = diagnose(facts);
    ASSERT_FALSE(findings.empty());
    EXPECT_EQ(findings[0].code, "promiscuous-asked");
    EXPECT_THAT(findings[0].evidence, HasSubstr(trust ? "changes nothing" : "would not help"));
    EXPECT_THAT(findings[0].remedy, HasSubstr("tap"));
  }
}

TEST(Doctor, ALossOfThePastIsToldFromOneThatGoesOn) {
  Facts facts = healthy();
  (*facts.ports[0].counters)["vf1.no_descriptor"] = 9;
  EXPECT_THAT(diagnose(facts)[0].evidence, HasSubstr("is 9, still"));
  facts.ports[0].growth["vf1.no_descriptor"] = 4;
  EXPECT_THAT(diagnose(facts)[0].evidence, HasSubstr("4 more while looking"));
}

TEST(Doctor, WhatCannotBeKnownIsNotTakenForGood) {
  Facts facts = healthy();
  facts.host.inventory.reset();
  facts.ports[0].counters.reset();
  facts.vms[1].capture->frames = 0;
  EXPECT_THAT(codes(facts), testing::ElementsAre("nothing-copied"));
  EXPECT_THAT(diagnose(facts)[0].evidence, HasSubstr("not known"));
}

TEST(CaptureStatus, TakesNothingForGranted) {
  for (const char* text : {"", "[]", "7", "{"}) EXPECT_FALSE(parse_capture_status(text)) << text;
  for (const char* text :
       {"{}", R"({"state":7,"port":[],"capture":{"accounts":[1],"listeners":{}},"ring":3,"store":"x"})",
        R"({"capture":{"frames":-1,"listeners":[null,{"pid":"x"}]},"store":{"free_bytes":"no"}})"}) {
    const auto facts = parse_capture_status(text);
    ASSERT_TRUE(facts) << text;
    EXPECT_FALSE(facts->port_up || facts->frames > 0 || facts->disk_free);
  }
  const auto facts = parse_capture_status(
      R"({"state":"capturing","why":"a\u001b[2J","port":{"up":true,"link":"up","queues":2,"mac":"m"},)"
      R"("capture":{"frames":5,"accounts":{"engine.ring_full":3},"listeners":[{"pid":9,"kind":"lossless","lapped":1}]},)"
      R"("ring":{"bytes":4096,"hugepages":false},"store":{"directory":"/d","problem":"p","disk_dropped":2,"free_bytes":1}})");
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->why, "a [2J") << "no control characters on a terminal";
  EXPECT_TRUE(facts->port_up && facts->link && !facts->ring_hugepages);
  EXPECT_EQ(facts->queues, 2u);
  EXPECT_EQ(facts->frames, 5u);
  EXPECT_EQ(facts->accounts.at("engine.ring_full"), 3u);
  ASSERT_EQ(facts->listeners.size(), 1u);
  EXPECT_EQ(facts->listeners[0].lapped, 1u);
  EXPECT_EQ(facts->disk_dropped, 2u);
  EXPECT_EQ(facts->disk_free, 1u);
}

TEST(Interfaces, AreReadFromATenantsWords) {
  const auto found = parse_interfaces("lo 00:00:00:00:00:00 0x9 unknown\neth0 02:00:00:00:00:01 0x1103 up\nbad\n");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].name, "eth0");
  EXPECT_TRUE(found[0].promiscuous);
  EXPECT_EQ(found[0].state, "up");
  EXPECT_FALSE(parse_interfaces("eth0 02:00:00:00:00:01 0x1003 up")[0].promiscuous);
}

}  // namespace
}  // namespace vigia::orch
