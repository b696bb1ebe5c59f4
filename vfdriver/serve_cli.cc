// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "vfdriver/capture_cli.h"
#include "vfdriver/serve.h"

namespace vigia::vf {

CaptureCommand add_serve_command(CLI::App& app) {
  auto options = std::make_shared<ServeOptions>();
  options->version = app.version();
  CLI::App* serve_app = app.add_subcommand("serve", "Be a probe: capture for good, and answer the host");
  serve_app->footer(
      "Captures as `run` does, but goes on whatever happens: without a device it waits for one; when the disk "
      "refuses,\n"
      "frames are kept in the ring alone, counted as store.disk_dropped, and the disk is tried again every 5 s; the\n"
      "status says so. The host asks through the channel, one client at a time: `vigia pull`, `vigia probe status`.\n"
      "CONFIG: {\"name\": required, \"role\": \"probe\", \"mtu\": 1500, \"storage\": {\"mode\": \"none\"|\"virtio\"|"
      "\"passthrough\"},\n"
      "\"capture\": {\"ring\": \"64M\", \"snaplen\": 0, \"policy\": \"overwritable\"|\"lossless\", \"max_file\": "
      "\"64M\", \"quota\": \"0\",\n"
      "\"rotate\": \"60s\", \"clock\": \"hybrid\", \"dedup\": \"on\"|\"window=200ms,keep=mark\", \"mirror_rules\": "
      "\"FILE\",\n"
      "\"mirror_agent\": 2}}\n"
      "policy: when the disk is a full ring behind; rotate, clock, dedup: as for run; rotate and dedup are off "
      "unless given.\n"
      "mirror_rules, mirror_agent: as for run, but the file need not be there yet: it is read when it comes and again "
      "when\n"
      "it changes.\n"
      "Storage none ignores --out.\n"
      "Exit status: 0 stopped, 2 wrong input.\n"
      "Example: vigia-capture serve --config /run/probe.json --device auto --channel /dev/virtio-ports/org.vigia.0 \\\n"
      "           --out /data");
  serve_app->add_option("--config", options->config, "JSON object: name, capture, storage, as the host gave it")
      ->required();
  serve_app->add_option("--device", options->device, "The VF, as for run, or auto: the first one bound for user space")
      ->required();
  serve_app->add_option("--channel", options->channel, "Device that leads to the host, or unix:PATH to listen there")
      ->required();
  serve_app->add_option("--out", options->out, "Directory of RAW files (default: the ring only)");
  return {serve_app, [options] { return exit_status_of(serve(*options, stop_on_signals())); }};
}

}  // namespace vigia::vf
