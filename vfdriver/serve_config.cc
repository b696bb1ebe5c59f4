// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdlib>
#include <vector>

#include "hw/mac.h"
#include "hw/pci_sysfs.h"
#include "hw/values.h"
#include "vfdriver/json_fields.h"
#include "vfdriver/run_dir.h"
#include "vfdriver/serve.h"

namespace vigia::vf {

namespace fs = std::filesystem;

namespace {

// Small files: what a full disk or a quota takes away at once is one file.
constexpr std::uint64_t kDefaultFile = 64u << 20;
constexpr std::uint64_t kDefaultRing = 64u << 20;
constexpr std::uint64_t kMaxHugepages = 1u << 20;
constexpr std::uint64_t kMaxVf = 65535;  // NumVFs has 16 bits

void read_capture(JsonFields fields, ServeConfig& config) {
  config.ring.data_bytes = fields.size("ring").value_or(kDefaultRing);
  const auto snaplen = fields.integer("snaplen", 0, kMaxCaptured);
  if (snaplen && *snaplen > 0) config.snaplen = static_cast<std::uint32_t>(*snaplen);
  const std::string policy = fields.choice("policy", {"overwritable", "lossless"}).value_or("");
  if (policy == "lossless") config.policy = ListenerKind::lossless;
  config.ring.segment_bytes = fields.size("max_file").value_or(kDefaultFile);
  if (config.ring.segment_bytes == 0) config.ring.segment_bytes = kDefaultFile;
  config.quota = fields.size("quota").value_or(0);
  if (config.quota != 0 && config.quota < 2 * config.ring.segment_bytes) {
    fields.fault("quota", "must hold at least two files of max_file");
  }
  if (const auto text = fields.word("rotate")) {
    const auto time = hw::parse_duration(*text);
    if (!time) fields.fault("rotate", time.error().text);
    config.rotate = time ? *time : config.rotate;
  }
  if (const auto dedup = fields.word("dedup"); dedup) {
    const auto options = hw::parse_duplicate_options(*dedup);
    if (options) {
      config.duplicates = *options;
    } else {
      fields.fault("dedup", options.error().text);
    }
  }
  config.mirror_rules = fields.word("mirror_rules").value_or("");
  if (!config.mirror_rules.empty() && !config.mirror_rules.is_absolute()) {
    fields.fault("mirror_rules", "want a path from the root, /run/vigia/mirrors.json");
  }
  if (const auto vf = fields.integer("mirror_agent", 0, kMaxVf)) config.mirror_agent = static_cast<unsigned>(*vf);
  if (!config.mirror_rules.empty() && !config.duplicates) fields.fault("mirror_rules", "needs dedup");
  if (config.mirror_agent && config.mirror_rules.empty()) fields.fault("mirror_agent", "needs mirror_rules");
  // What the host pulls is read from one ring and one line of files, each frame once across the seam (replay.h).
  if (const auto queues = fields.integer("queues", 1, 4); queues && *queues != 1) {
    fields.fault("queues", "a probe captures on one queue; `vigia-capture run --queues` takes several");
  }
  if (auto ok = validate(config.ring); !ok) fields.fault("ring", ok.error().text);
  if (const auto text = fields.word("clock")) {
    const auto clock = parse_clock_options(*text);
    if (!clock) fields.fault("clock", clock.error().text);
    config.clock = clock ? *clock : config.clock;
  }
  (void)fields.finish();  // its faults are the outer object's
}

}  // namespace

Result<ServeConfig> parse_serve_config(std::string_view json, const std::string& what) {
  ServeConfig config;
  JsonFields fields(json, what);
  const auto name = fields.word("name");
  if (!name) fields.fault("name", "required: what the capture and its files are called");
  config.name = name.value_or("");
  if (name) {
    if (auto ok = check_name(*name); !ok) fields.fault("name", ok.error().text);
  }
  config.role = fields.word("role").value_or(config.role);
  if (config.role != "probe") fields.fault("role", "this service is a probe's; other roles do not run it");
  fields.integer("hugepages", 0, kMaxHugepages);  // the image's init has seen to it
  // The PF has given the VF its address and its VLAN before the guest began.
  if (const auto mac = fields.word("mac"); mac && !hw::Mac::parse(*mac)) {
    fields.fault("mac", "want six hex pairs, 02:00:00:00:00:03");
  }
  fields.integer("port_vlan", 0, 4095);
  if (const auto mtu = fields.integer("mtu", 68, 9710)) config.mtu = static_cast<unsigned>(*mtu);
  read_capture(fields.object("capture"), config);
  JsonFields storage = fields.object("storage");
  config.storage_mode = storage.choice("mode", {"virtio", "passthrough", "none"}).value_or("");
  (void)storage.finish();  // as above
  if (auto ok = fields.finish(); !ok) return ok.error();
  return config;
}

Result<std::string> find_bound_vf(const fs::path& sysfs) {
  const auto driven = [](const fs::path& function) {
    const auto word = [&](const char* file) {
      return static_cast<std::uint16_t>(std::strtoul(hw::read_small_file(function / file).c_str(), nullptr, 16));
    };
    return drives({word("vendor"), word("device")});
  };
  struct Driver {
    const char *name, *scheme;
  };
  for (const Driver driver : {Driver{"vfio-pci", "vfio:"}, Driver{"uio_pci_generic", "uio:"}}) {
    const fs::path folder = sysfs / "bus/pci/drivers" / driver.name;
    for (const std::string& name : hw::names_in(folder)) {
      // Links to functions are named by address; beside them lie the driver's own files.
      if (hw::PciAddress::parse(name) && driven(folder / name)) return driver.scheme + name;
    }
  }
  std::string others;
  for (const std::string& name : hw::names_in(sysfs / "bus/pci/devices")) {
    const fs::path function = sysfs / "bus/pci/devices" / name;
    if (!driven(function)) continue;
    const std::string holder = hw::link_name(function / "driver");
    others += fmt::format("; {} could be, and is held by {}", name, holder.empty() ? "no driver" : holder);
  }
  return work_error(
      fmt::format("find a VF: none that this program drives is bound to vfio-pci or uio_pci_generic{}", others));
}

}  // namespace vigia::vf
