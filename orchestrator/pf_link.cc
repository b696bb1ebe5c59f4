// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/pf_link.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "pfdriver/control.h"

namespace vigia::orch {
namespace {

using nlohmann::json;

// The data of a reply, or the error that it is.
Result<json> request(const std::filesystem::path& socket, std::chrono::milliseconds limit, const json& what) {
  auto line = pf::ask_control(socket, what.dump(), limit);
  if (!line) return line.error();
  json reply = json::parse(*line, nullptr, false);
  if (!reply.is_object()) return work_error(fmt::format("vigia-pf at {} answered no JSON object", socket.string()));
  if (!reply.value("ok", false)) {
    const std::string text =
        fmt::format("vigia-pf at {}: {}", socket.string(), reply.value("error", std::string("gave no reason")));
    return reply.value("status", 1) == 2 ? input_error(text) : work_error(text);
  }
  return reply.value("data", json::object());
}

std::vector<std::string> texts(const json& data, const char* key) {
  std::vector<std::string> out;
  for (const json& text : data.value(key, json::array())) {
    if (text.is_string()) out.push_back(text);
  }
  return out;
}

}  // namespace

Result<PortWishes> PfLink::wishes() const {
  const auto data = request(socket_, limit_, {{"command", "config"}});
  if (!data) return data.error();
  const json lists{{"vf", data->value("vf", json::array())}, {"taps", data->value("taps", json::array())}};
  auto parsed = pf::parse_amendment(lists.dump(), socket_.string());
  if (!parsed) return parsed.error();
  return PortWishes{data->value("vfs", 0u), std::move(parsed->vf), std::move(parsed->taps)};
}

Result<pf::PortView> PfLink::show() const {
  const auto data = request(socket_, limit_, {{"command", "show"}});
  if (!data) return data.error();
  return pf::parse_show(data->dump(-1, ' ', false, json::error_handler_t::replace));
}

Result<Amended> PfLink::ask(const pf::Amendment& amendment, bool dry_run) const {
  const auto data =
      request(socket_, limit_,
              {{"command", "amend"}, {"change", json::parse(pf::amendment_json(amendment))}, {"dry_run", dry_run}});
  if (!data) return data.error();
  auto undo = pf::parse_amendment(data->value("undo", json::object()).dump(), socket_.string());
  if (!undo) return undo.error();
  const std::vector<std::string> refusals = texts(*data, "refusals");
  if (!refusals.empty()) return input_error(fmt::format("the NIC cannot do that: {}", fmt::join(refusals, "\n")));
  return Amended{std::move(*undo), texts(*data, "scopes"), texts(*data, "warnings"),
                 data->value("changes", json::array()).size()};
}

Result<Amended> PfLink::plan(const pf::Amendment& amendment) const { return ask(amendment, true); }
Result<Amended> PfLink::amend(const pf::Amendment& amendment) const { return ask(amendment, false); }

}  // namespace vigia::orch
