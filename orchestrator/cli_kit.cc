// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/cli_kit.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "hw/log.h"

namespace vigia::orch {
namespace {

std::atomic<bool> stop_wanted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set in a signal handler");

void on_signal(int) { stop_wanted.store(true, std::memory_order_relaxed); }  // relaxed: a flag, orders nothing

}  // namespace

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;  // without SA_RESTART: sleeps end at once
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

const std::atomic<bool>& interrupted() { return stop_wanted; }

void print_json(const nlohmann::ordered_json& object) {
  fmt::print("{}\n", object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

int report_error(const Error& error, bool json) {
  log::error("{}", error.text);
  if (json) print_json({{"error", error.text}, {"exit_status", error.exit_status()}});
  return error.exit_status();
}

std::string default_uri() {
  const char* uri = std::getenv("LIBVIRT_DEFAULT_URI");
  return uri != nullptr && *uri != 0 ? uri : "qemu:///system";
}

void StepLine::show(std::string_view vm, std::string_view step) {
  if (quiet_) return;
  if (::isatty(STDERR_FILENO) == 0) {
    fmt::print(stderr, "{}: {}\n", vm, step);
    return;
  }
  fmt::print(stderr, "\r{}: {}\033[K", vm, step);  // \033[K: erase to the end of the line
  std::fflush(stderr);
  shown_ = true;
}

void StepLine::clear() {
  if (shown_) fmt::print(stderr, "\r\033[K");
  shown_ = false;
}

}  // namespace vigia::orch
