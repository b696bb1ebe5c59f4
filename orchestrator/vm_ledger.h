// SPDX-License-Identifier: Apache-2.0
// The ledger of VMs on a software NIC: its counters, and what each guest says of itself.
#pragma once

#include <filesystem>
#include <string>

#include "hw/result.h"
#include "orchestrator/ledger.h"
#include "orchestrator/libvirt_host.h"

namespace vigia::orch {

// nic: the folder of a vigia-softnic that counts into softnic.counters there. Guests that do not answer have no
// counters. A tenant's are those of its kernel (/sys/class/net/*/statistics).
Result<LedgerInput> read_vm_ledger(LibvirtHost& host, const std::filesystem::path& nic);

// Frames that the software NIC has written to a VF so far, as a line of VmMetadata::undo (kUndoWritten); empty when the
// NIC does not count into that file.
std::string written_line(const std::filesystem::path& nic, unsigned vf);

}  // namespace vigia::orch
