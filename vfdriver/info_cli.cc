// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "hw/log.h"
#include "vfdriver/capture_cli.h"
#include "vfdriver/listener_server.h"
#include "vfdriver/reader.h"
#include "vfdriver/run_dir.h"

namespace vigia::vf {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

struct InfoOptions {
  std::string target;
  bool json = false;
};

// "2026-11-21 02:22:08.123456789 UTC"
std::string stamp_text(const Stamp& stamp) {
  const std::time_t seconds = stamp.seconds;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:09} UTC", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, stamp.nanoseconds);
}

Result<Json> device_info(const std::string& spec, StopRequest& stop) {
  PortOptions options;
  options.tx_ring = 0;
  options.pf_wait = std::chrono::seconds(1);
  options.cancel = &stop.stop;
  auto device = open_port(spec, options);
  if (!device) return device.error();
  const auto info = (*device)->info();
  if (!info) return info.error();
  Json json{{"kind", "device"}, {"device", info->device}, {"driver", info->driver}, {"interrupts", info->interrupts}};
  // What the port does not have or does not tell is left out.
  if (info->mac) {
    json["mac"] = info->mac->text();
    json["mac_assigned"] = info->mac_assigned;
  }
  if (!info->api.empty()) json["api"] = info->api;
  if (info->granted_rx != 0) json["queues_granted"] = info->granted_rx;
  if (info->mtu != 0) json["mtu"] = info->mtu;
  if (info->link_up) {
    json["link_up"] = *info->link_up;
    json["link_mbps"] = info->link_mbps;
  }
  if (!info->multicast_mode.empty()) json["multicast_mode"] = info->multicast_mode;
  if (info->link_enabled) json["link_enabled"] = *info->link_enabled;
  return json;
}

Result<Json> capture_info(const fs::path& socket) {
  const auto text = ask_info(socket);
  if (!text) return text.error();
  Json json = Json::parse(*text, nullptr, false);
  if (!json.is_object()) return work_error("ask capture " + socket.string() + ": the answer is no JSON object");
  json["kind"] = "capture";
  return json;
}

Result<Json> file_info(const fs::path& path) {
  auto reader = open_capture(path);
  if (!reader) return reader.error();
  FrameView frame;
  for (;;) {
    const auto more = (*reader)->next(frame);
    if (!more) return more.error();
    if (!*more) break;
  }
  const ReadReport& r = (*reader)->report();
  Json json{{"kind", "file"},
            {"file", path.string()},
            {"format", (*reader)->format()},
            {"frames", r.frames},
            {"bytes", r.bytes},
            {"wire_bytes", r.wire_bytes},
            {"truncated_files", r.truncated_files},
            {"missing_frames", r.missing_frames},
            {"clock", r.clock},
            {"remarks", r.remarks}};
  if (r.frames > 0) {
    json["first"] = stamp_text(r.first);
    json["last"] = stamp_text(r.last);
    json["seconds"] = (static_cast<double>(r.last.total_ns()) - static_cast<double>(r.first.total_ns())) / 1e9;
  }
  return json;
}

Result<Json> info_of(const std::string& target, StopRequest& stop) {
  if (target.empty())
    return Json{{"kind", "captures"}, {"run_dir", run_dir().string()}, {"captures", known_captures()}};
  if (target.find(':') != std::string::npos && !fs::exists(target)) return device_info(target, stop);
  std::error_code failed;
  if (fs::is_socket(target, failed)) return capture_info(target);
  if (fs::exists(target, failed)) return file_info(target);
  const auto socket = socket_of(target);
  if (!socket) return socket.error();
  if (!fs::exists(*socket, failed)) {
    return input_error("info " + target + ": no such file, and no capture of that name in " + run_dir().string());
  }
  return capture_info(*socket);
}

void print_flat(const Json& json, const std::string& prefix) {
  for (const auto& [key, value] : json.items()) {
    if (value.is_object() || (value.is_array() && !value.empty() && value.front().is_object())) {
      print_flat(value, prefix + key + ".");
    } else if (value.is_string()) {
      fmt::print("{:28} {}\n", prefix + key, value.get<std::string>());
    } else {
      fmt::print("{:28} {}\n", prefix + key, value.dump());
    }
  }
}

}  // namespace

CaptureCommand add_info_command(CLI::App& app) {
  auto options = std::make_shared<InfoOptions>();
  CLI::App* info = app.add_subcommand("info", "What a device, a running capture or a file is");
  info->footer(
      "A device is opened and reset: one that is in use refuses. Files are read to their end, so that truncation and "
      "gaps\n"
      "are found. Without a target: the names of the captures in the run directory.\n"
      "Exit status: 0 done, 1 it does not answer, 2 there is no such thing.\n"
      "Example: vigia-capture info agent --json");
  info->add_option("target", options->target, "vfio-user:SOCKET, the name or socket of a capture, a file or directory");
  info->add_flag("--json", options->json, "One JSON object");
  return {info, [options] {
            const auto json = info_of(options->target, stop_on_signals());
            if (!json) return exit_status_of(json.error());
            if (options->json) {
              fmt::print("{}\n", json->dump(2));
            } else {
              print_flat(*json, "");
            }
            return 0;
          }};
}

}  // namespace vigia::vf
