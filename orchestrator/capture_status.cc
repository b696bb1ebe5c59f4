// SPDX-License-Identifier: Apache-2.0
// The status of vigia-capture in a guest, read with nothing taken for granted.
#include <nlohmann/json.hpp>

#include "orchestrator/doctor.h"

namespace vigia::orch {
namespace {

using nlohmann::json;

const json& at(const json& object, const char* key) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

// It goes to a terminal: control characters are replaced.
std::string text(const json& object, const char* key) {
  const json& value = at(object, key);
  std::string out = value.is_string() ? value.get<std::string>() : std::string();
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return out;
}

bool truth(const json& object, const char* key) { return at(object, key) == json(true); }

std::uint64_t number(const json& object, const char* key) {
  const json& value = at(object, key);
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

}  // namespace

Result<CaptureFacts> parse_capture_status(std::string_view status) {
  const json root = json::parse(status, nullptr, false);
  if (!root.is_object()) return work_error("the guest's status is no JSON object; is another program at its channel?");
  CaptureFacts out;
  out.state = text(root, "state");
  out.why = text(root, "why");
  const json& port = at(root, "port");
  out.port_up = truth(port, "up");
  out.port_problem = text(port, "problem");
  out.driver = text(port, "driver");
  out.mac = text(port, "mac");
  out.link = text(port, "link") == "up";
  out.queues = static_cast<unsigned>(number(port, "queues"));
  const json& capture = at(root, "capture");
  out.frames = number(capture, "frames");
  if (const json& accounts = at(capture, "accounts"); accounts.is_object()) {
    for (const auto& [name, value] : accounts.items()) {
      if (value.is_number_unsigned()) out.accounts[name] = value.get<std::uint64_t>();
    }
  }
  if (const json& listeners = at(capture, "listeners"); listeners.is_array()) {
    for (const json& one : listeners) {
      out.listeners.push_back({static_cast<std::int64_t>(number(one, "pid")), text(one, "kind") == "lossless",
                               number(one, "lapped"), number(one, "behind_bytes")});
    }
  }
  const json& ring = at(root, "ring");
  out.ring_bytes = number(ring, "bytes");
  out.ring_hugepages = !ring.is_object() || truth(ring, "hugepages");
  const json& store = at(root, "store");
  out.store_directory = text(store, "directory");
  out.store_problem = text(store, "problem");
  out.disk_dropped = number(store, "disk_dropped");
  if (at(store, "free_bytes").is_number_unsigned()) out.disk_free = number(store, "free_bytes");
  return out;
}

}  // namespace vigia::orch
