// SPDX-License-Identifier: Apache-2.0
// Where the files of a VM are on this host: its image, the emulator, sockets and logs.
#pragma once

#include <filesystem>

#include "orchestrator/domain_xml.h"

namespace vigia::orch {

// VIGIA_IMAGES, else /var/lib/vigia/images.
std::filesystem::path images_dir();

// Of the spec's image: a folder with vmlinux, initrd.img and perhaps disk.qcow2, or a disk image. The lab runtime's
// QEMU where it is installed beside the images, else the host's. An input error when the image is not there.
Result<DomainFiles> find_vm_files(const VmSpec& spec, const std::filesystem::path& images,
                                  const std::filesystem::path& run_dir);

}  // namespace vigia::orch
