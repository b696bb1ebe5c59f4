// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/tenant_cli.h"

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <memory>

#include "hw/log.h"
#include "vfdriver/tenant.h"

namespace vigia::vf {
namespace {

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set in a signal handler");

void request_stop(int) { stop_requested.store(true, std::memory_order_relaxed); }  // relaxed: a flag, orders nothing

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = request_stop;  // without SA_RESTART: sleeps end at once
  for (const int signal : {SIGTERM, SIGINT}) ::sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

TenantCommand add_tenant_command(CLI::App& app) {
  auto options = std::make_shared<TenantOptions>();
  CLI::App* tenant =
      app.add_subcommand("tenant", "A plain endpoint for labs: receives and counts, may answer and send");
  tenant->add_option("--device", options->device, "The VF: vfio-user:SOCKET, vfio:0000:01:00.0 or uio:0000:01:00.0")
      ->required();
  tenant->add_option("--name", options->name, "Name in messages and statistics")->capture_default_str();
  tenant->add_option("--mtu", options->mtu, "Largest packet in bytes, without Ethernet header")->capture_default_str();
  tenant->add_option("--queues", options->queues, "Receive queues: 1, 2 or 4")->capture_default_str();
  tenant->add_option("--vlan", options->vlans, "VLAN to join; may be repeated")->allow_extra_args(false);
  tenant
      ->add_option_function<std::string>(
          "--reply", [options](const std::string& how) { options->reply = how == "swap"; },
          "none, or swap: unicast frames go back with their addresses swapped")
      ->check(CLI::IsMember({"none", "swap"}))
      ->default_str("none");
  tenant->add_option("--send", options->send,
                     "Frames to send: a pcap file, or gen:count=N,size=S,dst=MAC; the source address is this port's");
  tenant->add_option("--send-start-file", options->send_start_file, "Send only when this file exists");
  tenant->add_option("--counters", options->counters, "Counter file for the ledger; outlives the process");
  tenant->add_option("--ready-file", options->ready_file, "Written when the port receives");
  tenant->add_option("--stats-json", options->stats_json, "Statistics, written at the end");
  return {tenant, [options] {
            catch_signals();
            const auto done = run_tenant(*options, stop_requested);
            // Stopped while it still waited for the PF: that is a stop, not a failure.
            if (done || done.error().code == std::errc::operation_canceled) return 0;
            log::error("{}", done.error().text);
            return done.error().exit_status();
          }};
}

}  // namespace vigia::vf
