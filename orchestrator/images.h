// SPDX-License-Identifier: Apache-2.0
// Where guest images and the lab's QEMU are, and which files of theirs a domain uses.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "hw/result.h"
#include "orchestrator/domain_xml.h"

namespace vigia::orch {

// Folders that a command works with; from the environment, else the defaults of an installed vigia.
struct HostDirs {
  std::filesystem::path images;  // VIGIA_IMAGES; images/ beside the programs' folder; /var/lib/vigia/images
  std::filesystem::path run;     // VIGIA_RUN; /run/vigia: sockets and console logs of VMs
  static HostDirs from_environment();
};

// The files of an image by name ("probe"), or by the path of its folder or of a disk image. The emulator is the lab
// runtime's when that is built, else what the host has. run_dir is made. An image that is not there is an input error
// that lists those that are.
Result<DomainFiles> find_image(const HostDirs& dirs, std::string_view image);

}  // namespace vigia::orch
