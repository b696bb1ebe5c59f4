// SPDX-License-Identifier: Apache-2.0
// A libvirt domain from a spec and its placement, and what a fresh `vigia` reads back from one. Pure: texts in, texts
// out.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/result.h"
#include "orchestrator/inventory.h"
#include "orchestrator/placement.h"
#include "orchestrator/vm_spec.h"

namespace vigia::orch {

// Files on the host that the domain uses; absolute paths.
struct DomainFiles {
  std::filesystem::path emulator;  // QEMU's program
  std::filesystem::path kernel;    // with initrd: direct boot; empty: boot from disk
  std::filesystem::path initrd;
  std::string cmdline;            // of the kernel, as the image wants it; empty: only a console
  std::filesystem::path disk;     // image of the system, which stays as it is; empty: the system is in initrd
  std::filesystem::path run_dir;  // for NAME.channel, NAME.shell, NAME.console.log and NAME.qcow2
  bool io_uring = false;          // the host's kernel lets QEMU use it

  std::filesystem::path channel(std::string_view vm) const { return run_dir / (std::string(vm) + ".channel"); }
  std::filesystem::path shell(std::string_view vm) const { return run_dir / (std::string(vm) + ".shell"); }
  // What the VM writes on its system's disk; for as long as it is up.
  std::filesystem::path overlay(std::string_view vm) const { return run_dir / (std::string(vm) + ".qcow2"); }
  std::filesystem::path console_log(std::string_view vm) const { return run_dir / (std::string(vm) + ".console.log"); }
};

// <metadata><vigia:vm>: everything that `vigia ls`, `down` and `repair` need to know without any other file.
struct VmMetadata {
  std::string spec_text;  // the YAML text
  std::string spec_file;  // its name, for messages
  std::string kind;       // "tenant", "vnp", "vnma"
  std::string tap;        // name of the tap on the PF; empty: none
  std::string control;    // socket of the PF's vigia-pf; empty: none
  std::string pf;         // as Placement::pf
  std::optional<unsigned> vf;
  std::string mac;
  std::string channel;               // unix socket on the host; empty: none
  std::int64_t until = 0;            // seconds since 1970 at which it ends by itself; 0: never
  std::vector<std::string> files{};  // that `down` removes
  std::vector<std::string> undo{};   // what else `down` restores: "KEY VALUE" lines of whoever wrote them
  friend bool operator==(const VmMetadata&, const VmMetadata&) = default;
};

inline constexpr std::string_view kVigiaNamespace = "https://vigia.dev/xmlns/1";

// The domain's XML. Characters that XML cannot hold must not be in the spec (validate() refuses them).
std::string domain_xml(const VmSpec& spec, const Placement& placement, const DomainFiles& files,
                       const VmMetadata& metadata);
// What the caller need not fill in by hand: all but until, files and undo.
VmMetadata metadata_of(const VmSpec& spec, const Placement& placement, const DomainFiles& files);

// The element that virDomainSetMetadata takes and virDomainGetMetadata gives.
std::string metadata_xml(const VmMetadata& metadata);

// From a whole domain XML or from the metadata element alone. nullopt: a domain that is none of ours. An error: ours,
// but not understood.
Result<std::optional<VmMetadata>> parse_metadata(std::string_view xml);

// What a domain occupies, from its XML: pinnings, pages, node, function. nullopt: a domain that is none of ours.
Result<std::optional<PlacedDomain>> parse_placed_domain(std::string_view xml);

}  // namespace vigia::orch
