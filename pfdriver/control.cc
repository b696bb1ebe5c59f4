// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/control.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "hw/unix_socket.h"
#include "pfdriver/amend.h"
#include "pfdriver/generator.h"

namespace vigia::pf {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestLine = 2u << 20, kMostClients = 16;

std::string dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

std::string failure(const Error& error) {
  return dump({{"ok", false}, {"status", error.exit_status()}, {"error", error.text}});
}

std::string success(std::string_view text, json data) {
  return dump({{"ok", true}, {"text", text}, {"data", std::move(data)}});
}

std::string answer_plan(Generator& generator, const json& request, bool apply) {
  if (!request.contains("config") || !request["config"].is_string()) {
    return failure(input_error("the request has no config: send the text of pf.yaml"));
  }
  const json name = request.value("file", json("pf.yaml"));
  const auto config = parse_config(request["config"].get_ref<const std::string&>(),
                                   name.is_string() ? name.get_ref<const std::string&>() : "pf.yaml");
  if (!config) return failure(config.error());
  if (!apply) {
    const Plan plan = generator.plan(*config);
    return success(plan_text(plan), json::parse(plan_json(plan)));
  }
  const auto applied = generator.apply(*config);
  return applied ? success(plan_text(*applied), json::parse(plan_json(*applied))) : failure(applied.error());
}

// Makes the change, or only plans it. The data holds what undoes it.
std::string answer_amend(Generator& generator, const json& request) {
  if (!request.contains("change") || !request["change"].is_object()) {
    return failure(input_error("the request has no change: send an object with vf, taps and remove_taps"));
  }
  const auto change = parse_amendment(dump(request["change"]), "change");
  if (!change) return failure(change.error());
  const auto wanted = amend(generator.config(), *change);
  if (!wanted) return failure(wanted.error());
  const json undo = json::parse(amendment_json(undo_of(generator.config(), *change)));
  const bool only_plan = request.value("dry_run", json(false)) == json(true);
  const auto done = only_plan ? Result<Plan>(generator.plan(*wanted)) : generator.apply(*wanted);
  if (!done) return failure(done.error());
  json data = json::parse(plan_json(*done));
  data["undo"] = undo;
  return success(plan_text(*done), std::move(data));
}

std::string answer_status(Generator& generator) {
  const auto& totals = generator.totals();
  return success(
      fmt::format("up with {} VFs; {} VF resets, {} refusals, {} drifts set right, {} left to the administrator\n",
                  generator.config().vfs, totals.vf_resets, totals.refusals, totals.drifts, totals.overruled),
      {{"vfs", generator.config().vfs},
       {"vf_resets", totals.vf_resets},
       {"refusals", totals.refusals},
       {"drifts", totals.drifts},
       {"overruled", totals.overruled}});
}

}  // namespace

std::string answer_control(Generator& generator, std::string_view line) {
  const json request = json::parse(line, nullptr, false);
  if (!request.is_object() || !request.contains("command") || !request["command"].is_string()) {
    return failure(input_error("the request is no JSON object with a command"));
  }
  const auto& command = request["command"].get_ref<const std::string&>();
  if (command == "plan") return answer_plan(generator, request, false);
  if (command == "apply") return answer_plan(generator, request, true);
  if (command == "amend") return answer_amend(generator, request);
  if (command == "config") return success("", json::parse(config_json(generator.config())));
  if (command == "status") return answer_status(generator);
  if (command == "show") {
    const PortView view = generator.show();
    return success(show_text(view, generator.config()), json::parse(show_json(view, generator.config())));
  }
  if (command == "revert") {
    const auto reverted = generator.revert();
    return reverted ? success(plan_text(*reverted), json::parse(plan_json(*reverted))) : failure(reverted.error());
  }
  return failure(input_error(
      fmt::format("command '{}' is not known; known: plan, apply, amend, config, show, revert, status", command)));
}

ControlServer::ControlServer(Fd listener, std::filesystem::path path, Handler handler)
    : listener_(std::move(listener)), path_(std::move(path)), handler_(std::move(handler)) {}

ControlServer::~ControlServer() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

Result<std::unique_ptr<ControlServer>> ControlServer::listen(const std::filesystem::path& path, Handler handler) {
  auto fd = hw::listen_unix(path, hw::Audience::owner);
  if (!fd) return Error{fd.error().code, "control socket: " + fd.error().text};
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(*fd), path, std::move(handler)));
}

void ControlServer::add_to(std::vector<pollfd>& fds) const {
  fds.push_back({listener_.get(), POLLIN, 0});
  for (const Client& client : clients_) {
    fds.push_back({client.fd.get(), static_cast<short>(client.out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
  }
}

void ControlServer::serve(const std::vector<pollfd>& fds) {
  const auto events_of = [&](int fd) -> short {
    const auto at = std::find_if(fds.begin(), fds.end(), [fd](const pollfd& p) { return p.fd == fd; });
    return at == fds.end() ? short{0} : at->revents;
  };
  std::erase_if(clients_, [&](Client& client) { return !serve_client(client, events_of(client.fd.get())); });
  if (events_of(listener_.get()) != 0) accept_clients();
}

void ControlServer::accept_clients() {
  for (;;) {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    if (clients_.size() < kMostClients) clients_.push_back({std::move(fd), {}, {}});
  }
}

bool ControlServer::serve_client(Client& client, short events) {
  if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) {
    std::array<char, 65536> buffer;
    const ssize_t got = ::recv(client.fd.get(), buffer.data(), buffer.size(), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return false;
    if (got > 0) client.in.append(buffer.data(), static_cast<std::size_t>(got));
  }
  if (const auto end = client.in.find('\n'); end != std::string::npos && client.out.empty()) {
    client.out = handler_(std::string_view(client.in).substr(0, end)) + "\n";
    client.in.erase(0, end + 1);
  }
  if (client.in.size() > kLongestLine) return false;
  if (client.out.empty()) return true;
  const ssize_t sent = ::send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  client.out.erase(0, static_cast<std::size_t>(sent));
  return true;
}

Result<std::string> ask_control(const std::filesystem::path& socket, std::string_view line,
                                std::chrono::milliseconds limit) {
  const auto connected = hw::connect_unix(socket, static_cast<int>(limit.count()));
  if (!connected) {
    return Error{connected.error().code,
                 "control socket: " + connected.error().text + "; is vigia-pf running with --control there?"};
  }
  const Fd& fd = *connected;
  const std::string request = std::string(line) + "\n";
  for (std::size_t sent = 0; sent < request.size();) {
    const ssize_t n = ::send(fd.get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;  // a Ctrl-C ends the caller between two questions, not within one
    if (n <= 0) return os_error("send to control socket " + socket.string());
    sent += static_cast<std::size_t>(n);
  }
  std::string reply;
  while (reply.find('\n') == std::string::npos) {
    std::array<char, 65536> buffer;
    const ssize_t n = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error("wait for the answer on control socket " + socket.string());
    if (n == 0) return work_error("control socket " + socket.string() + ": vigia-pf hung up before it answered");
    reply.append(buffer.data(), static_cast<std::size_t>(n));
  }
  reply.resize(reply.find('\n'));
  return reply;
}

}  // namespace vigia::pf
