// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/domain_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <sstream>

namespace vigia::orch {
namespace {

using pugi::xml_node;

constexpr std::size_t kLargestXml = 4u << 20;  // far beyond any domain of ours

// Elements of text, in both directions.
constexpr std::string_view kPrefix = "vigia:";
constexpr std::pair<const char*, std::string VmMetadata::*> kTexts[] = {
    {"vigia:spec", &VmMetadata::spec_text}, {"vigia:file", &VmMetadata::spec_file},  {"vigia:kind", &VmMetadata::kind},
    {"vigia:tap", &VmMetadata::tap},        {"vigia:control", &VmMetadata::control}, {"vigia:pf", &VmMetadata::pf},
    {"vigia:mac", &VmMetadata::mac},        {"vigia:channel", &VmMetadata::channel}};
constexpr std::pair<const char*, std::vector<std::string> VmMetadata::*> kLists[] = {
    {"vigia:remove", &VmMetadata::files}, {"vigia:undo", &VmMetadata::undo}};

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The namespace prefix may be another one after libvirt or a person had the XML in hands.
std::string_view local_name(xml_node node) {
  const std::string_view name = node.name();
  const auto colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}
bool is_ours(xml_node node) {
  if (local_name(node) != "vm") return false;
  const std::string_view name = node.name();
  const auto colon = name.find(':');
  const std::string attribute =
      colon == std::string_view::npos ? "xmlns" : fmt::format("xmlns:{}", name.substr(0, colon));
  for (xml_node at = node; at; at = at.parent()) {
    if (const auto declared = at.attribute(attribute.c_str())) return declared.value() == kVigiaNamespace;
  }
  return false;
}

xml_node find_ours(const pugi::xml_document& document) {
  const xml_node top = document.document_element();
  if (is_ours(top)) return top;
  for (const xml_node node : top.child("metadata").children()) {
    if (is_ours(node)) return node;
  }
  return {};
}

Result<Done> load(pugi::xml_document& document, std::string_view xml, const char* what) {
  if (xml.size() > kLargestXml) return work_error(fmt::format("{}: larger than 4 MiB, refused", what));
  const auto parsed = document.load_buffer(xml.data(), xml.size(), pugi::parse_default | pugi::parse_ws_pcdata);
  if (parsed) return Done{};
  return work_error(fmt::format("{}: not XML at byte {}: {}", what, parsed.offset, parsed.description()));
}

Result<VmMetadata> read_ours(xml_node vm) {
  VmMetadata out;
  for (const xml_node node : vm.children()) {
    const std::string_view name = local_name(node);
    const std::string text = node.text().get();
    for (const auto& [key, member] : kTexts) {
      if (name == std::string_view(key).substr(kPrefix.size())) out.*member = text;
    }
    for (const auto& [key, member] : kLists) {
      if (name == std::string_view(key).substr(kPrefix.size())) (out.*member).push_back(text);
    }
    if (name == "vf" && !(out.vf = number<unsigned>(text))) {
      return work_error(fmt::format("domain metadata: vf \"{}\" is no number; was it edited by hand?", text));
    }
    if (name == "until") {
      const auto until = number<std::int64_t>(text);
      if (!until)
        return work_error(fmt::format("domain metadata: until \"{}\" is no time; was it edited by hand?", text));
      out.until = *until;
    }
  }
  if (out.spec_text.empty() || out.kind.empty()) {
    return work_error(
        "domain metadata: spec or kind is missing; was it edited by hand, or written by another version?");
  }
  return out;
}

std::optional<std::vector<unsigned>> pinned(xml_node node) { return parse_cpu_list(node.attribute("cpuset").value()); }

// KiB, MiB .. as libvirt writes them; hugepages and memory are always in KiB in what it gives back.
std::uint64_t kibibytes(xml_node node, const char* value) {
  const std::string_view unit = node.attribute("unit").value();
  const std::uint64_t n = number<std::uint64_t>(value).value_or(0);
  const unsigned shift = unit == "GiB" || unit == "G" ? 20 : unit == "MiB" || unit == "M" ? 10 : 0;
  return n > (~std::uint64_t{0} >> (shift + 10)) ? 0 : n << shift;
}

Result<PlacedDomain> read_placed(xml_node domain, const VmMetadata& metadata) {
  PlacedDomain out;
  out.name = domain.child_value("name");
  out.kind = metadata.kind;
  out.pf = metadata.pf;
  out.vf = metadata.vf;
  const xml_node tune = domain.child("cputune");
  for (const xml_node pin : tune.children("vcpupin")) {
    const auto cpus = pinned(pin);
    if (!cpus) return work_error(fmt::format("domain {}: vcpupin is no list of CPUs", out.name));
    out.vcpu_cpus.insert(out.vcpu_cpus.end(), cpus->begin(), cpus->end());
  }
  if (const auto cpus = pinned(tune.child("emulatorpin"))) out.emulator_cpus = *cpus;
  if (const auto nodes = parse_cpu_list(domain.child("numatune").child("memory").attribute("nodeset").value());
      nodes && nodes->size() == 1) {
    out.node = nodes->front();
  }
  if (const xml_node page = domain.child("memoryBacking").child("hugepages").child("page")) {
    out.page_size = kibibytes(page, page.attribute("size").value()) << 10;
    const xml_node memory = domain.child("memory");
    if (out.page_size != 0) out.pages = (kibibytes(memory, memory.text().get()) << 10) / out.page_size;
  }
  return out;
}

}  // namespace

std::string json_string(std::string_view text) { return nlohmann::json(text).dump(); }

namespace {

// A name as it is written in kTexts and kLists, with its prefix or without.
const char* spelled(const char* name, bool prefixed) { return prefixed ? name : name + kPrefix.size(); }

void append_element(xml_node parent, const VmMetadata& metadata, bool prefixed) {
  xml_node vm = parent.append_child(spelled("vigia:vm", prefixed));
  vm.append_attribute(prefixed ? "xmlns:vigia" : "xmlns").set_value(std::string(kVigiaNamespace).c_str());
  const auto append = [&](const char* key, const std::string& text) {
    if (!text.empty()) vm.append_child(spelled(key, prefixed)).text().set(text.c_str());
  };
  for (const auto& [key, member] : kTexts) append(key, metadata.*member);
  if (metadata.vf) append("vigia:vf", std::to_string(*metadata.vf));
  if (metadata.until != 0) append("vigia:until", std::to_string(metadata.until));
  for (const auto& [key, member] : kLists) {
    for (const std::string& text : metadata.*member) append(key, text);
  }
}

}  // namespace

void append_metadata(xml_node parent, const VmMetadata& metadata) { append_element(parent, metadata, true); }

std::string metadata_xml(const VmMetadata& metadata) {
  pugi::xml_document document;
  // libvirt declares the prefix itself, and fails where it is declared already.
  append_element(document.root(), metadata, false);
  std::ostringstream out;
  document.save(out, "", pugi::format_raw | pugi::format_no_declaration);
  return out.str();
}

Result<std::optional<VmMetadata>> parse_metadata(std::string_view xml) {
  pugi::xml_document document;
  if (auto loaded = load(document, xml, "domain"); !loaded) return loaded.error();
  const xml_node ours = find_ours(document);
  if (!ours) return std::optional<VmMetadata>();
  auto metadata = read_ours(ours);
  if (!metadata) return metadata.error();
  return std::optional(std::move(*metadata));
}

Result<std::optional<PlacedDomain>> parse_placed_domain(std::string_view xml) {
  pugi::xml_document document;
  if (auto loaded = load(document, xml, "domain"); !loaded) return loaded.error();
  const xml_node ours = find_ours(document);
  if (!ours) return std::optional<PlacedDomain>();
  const auto metadata = read_ours(ours);
  if (!metadata) return metadata.error();
  auto placed = read_placed(document.document_element(), *metadata);
  if (!placed) return placed.error();
  return std::optional(std::move(*placed));
}

}  // namespace vigia::orch
