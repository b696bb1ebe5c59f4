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

// starting, stopping: an `up`, a `down` is at work. interrupted: one was, and is gone. stopped: it ended by itself
// (guest power-off, QEMU killed).
enum class VmState { running, stopped, starting, stopping, interrupted };
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

// Lines of VmMetadata::undo: "KEY VALUE".
inline constexpr std::string_view kUndoPort = "port ";          // an amendment, as JSON, for metadata.control
inline constexpr std::string_view kUndoStarting = "starting ";  // the ProcessId of an `up` that is not at its end
inline constexpr std::string_view kUndoEnding = "ending ";      // the ProcessId of a `down` that is not at its end
inline constexpr std::string_view kUndoCreated = "created ";    // a file to be removed if that `up` fails
inline constexpr std::string_view kUndoProcess = "process ";    // the ProcessId of who takes the VM down in time
inline constexpr std::string_view kUndoWritten = "written ";    // frames that the NIC wrote for earlier VMs on the VF

// The values of the lines with that key.
std::vector<std::string> undo_values(const VmMetadata& metadata, std::string_view key);
void remove_undo(VmMetadata& metadata, std::string_view key);

}  // namespace vigia::orch
