// SPDX-License-Identifier: Apache-2.0
// The files of a VM's disks: the one that it captures to, and what it writes on its system's.
#pragma once

#include "hw/result.h"
#include "orchestrator/domain_xml.h"
#include "orchestrator/vm_spec.h"

namespace vigia::orch {

// Whether the spec's storage can be had: a path that is there must be a disk of at least the size asked, one that is
// not needs a size and a folder. Input errors name the spec's file and key. Reads the host's files, changes nothing.
Result<Done> check_storage(const VmSpec& spec);
// True when make_storage() is to make a file, which is then the VM's.
bool makes_storage(const StorageSpec& storage);
// The disk image with all its space set aside, so that a host whose disk fills up later cannot fail the guest. One that
// is there is left as it is; one that cannot be made whole is not left.
Result<Done> make_storage(const StorageSpec& storage);

// The overlay on the image's disk, by qemu-img beside the emulator; nothing for images without a disk. Words of
// qemu-img go to the console's log.
Result<Done> make_overlay(const DomainFiles& files, const std::string& vm);

}  // namespace vigia::orch
