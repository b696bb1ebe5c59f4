// SPDX-License-Identifier: Apache-2.0
// What of ours is on a host, read from libvirt alone: no file of our own says anything (architecture 5.8).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/result.h"
#include "orchestrator/domain_xml.h"
#include "orchestrator/libvirt_host.h"

namespace vigia::orch {

// interrupted: `up` or `down` did not come to its end. stopped: it ended by itself (guest power-off, QEMU killed).
enum class VmState { running, stopped, interrupted };
std::string_view word(VmState state);

struct Vm {
  std::string name;
  VmState state = VmState::stopped;
  VmMetadata metadata;
  PlacedDomain placed;
};

struct Catalog {
  std::vector<Vm> vms;
  std::vector<std::string> remarks;  // domains of ours that we do not understand

  const Vm* find(std::string_view name) const;
  std::vector<PlacedDomain> placed() const;  // what VMs that run occupy
};

Result<Catalog> read_catalog(LibvirtHost& host);
// The one of that name; an input error that lists those that are there.
Result<Vm> find_vm(LibvirtHost& host, std::string_view name);

// Metadata lines (VmMetadata::undo): what has to be taken back when the VM goes, and where an `up` stands.
inline constexpr std::string_view kUndoPort = "port ";         // an amendment, as JSON, for metadata.control
inline constexpr std::string_view kUndoStarting = "starting";  // until `up` has come to its end
inline constexpr std::string_view kUndoCreated = "created ";   // a file that an `up` made, to be removed if it fails

}  // namespace vigia::orch
