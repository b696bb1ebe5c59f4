// SPDX-License-Identifier: Apache-2.0
// Texts from strangers: VM files, libvirt's XML, inventories. A spec that is accepted can be placed or refused, and the
// domain made of it holds what is read back from it.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "orchestrator/domain_xml.h"

using namespace vigia::orch;

namespace {

constexpr std::string_view kSeeds[] = {
    "svm:\n  name: p1\n  kind: vnma\n  memory: 1G\n  hugepages: {size: 2M, guest: 64}\n  network: {mode: softnic, pf: "
    "/n, "
    "vf: auto}\n  tap: {tenants: [web], direction: both}\n  storage: {path: /x, size: 1G}\n  for: 10m\n",
    "svm: {name: t, kind: tenant, network: {mode: virtio, bridge: b}, guest: {address: 10.0.0.1/24, script: \"a, "
    "b\"}}\n",
    "c<capabilities><host><topology><cells><cell id='0'><memory>1</memory><pages size='2048'>3</pages><cpus><cpu "
    "id='0' "
    "siblings='0-1'/></cpus></cell></cells></topology></host></capabilities>",
    "n<device><parent>pci_0000_5e_00_0</parent><capability type='pci'><class>0x020000</class><domain>0</domain><bus>1"
    "</bus><slot>0</slot><function>0</function><capability type='virt_functions'><address domain='0x0000' bus='0x5e' "
    "slot='0x10' function='0x2'/></capability></capability></device>",
    "m<domain><name>a</name><metadata><v:vm xmlns:v='https://vigia.dev/xmlns/1'><v:spec>s</v:spec><v:kind>vnp</v:kind>"
    "<v:vf>3</v:vf></v:vm></metadata><memory unit='KiB'>1024</memory><memoryBacking><hugepages><page size='2048' "
    "unit='KiB'/></hugepages></memoryBacking><cputune><vcpupin vcpu='0' cpuset='1'/></cputune></domain>",
    "j{\"nodes\":[{\"id\":0,\"hugepages\":[{\"size\":2097152,\"total\":1,\"free\":1}]}],\"cpus\":[{\"id\":0,\"node\":0}"
    "]}"};

constexpr std::string_view kHost =
    "<capabilities><host><topology><cells><cell id='0'><memory>1</memory><cpus><cpu id='0' siblings='0'/></cpus></cell>"
    "</cells></topology></host></capabilities>";

Inventory host() {
  Inventory out;
  out.nodes.push_back({0, 1ull << 40, {{2u << 20, {1u << 20, 1u << 20}}, {1u << 30, {2048, 2048}}}});
  for (unsigned i = 0; i < 128; ++i) out.cpus.push_back({i, 0, {i}, true, false});
  out.memory = out.memory_available = 1ull << 41;
  out.iommu = true;
  return out;
}

void drive_spec(std::string_view text) {
  const auto spec = parse_vm(text, "/vm.yaml");
  if (!spec) return;
  Inventory inventory = host();
  if (spec->network.mode == NetworkMode::softnic) inventory.softnics.push_back({spec->network.pf, {0, 1, 2, 3}});
  const auto result = place(inventory, *spec, {});
  if (result.placement.has_value() == !result.refusals.empty()) std::abort();
  if (!result.placement) return;
  const DomainFiles files{"/q", "/k", "/i", "", "", "/run", false};
  const VmMetadata metadata = metadata_of(*spec, *result.placement, files);
  const auto back = parse_metadata(domain_xml(*spec, *result.placement, files, metadata));
  if (!back || !*back || !(**back == metadata)) std::abort();
}

}  // namespace

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> out;
  for (const std::string_view seed : kSeeds) out.emplace_back(seed.begin(), seed.end());
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // SAFETY: bytes as characters. The first says what the rest is.
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 's':
      drive_spec(text);
      break;
    case 'c':
      (void)inventory_from_libvirt(text, {});
      break;
    case 'n': {
      const std::vector<std::string> devices{std::string(text)};
      if (const auto found = inventory_from_libvirt(kHost, devices)) (void)inventory_json(*found);
      break;
    }
    case 'm':
      (void)parse_metadata(text);
      (void)parse_placed_domain(text);
      break;
    default:
      if (const auto found = parse_inventory_json(text, "j")) {
        VmSpec spec;
        spec.network.mode = NetworkMode::virtio;
        (void)place(*found, spec, {});
      }
  }
  return 0;
}
