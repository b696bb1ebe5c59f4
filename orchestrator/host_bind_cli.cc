// SPDX-License-Identifier: Apache-2.0
// `vigia host bind`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "hw/log.h"
#include "orchestrator/cli_kit.h"
#include "orchestrator/host_bind.h"
#include "orchestrator/host_commands.h"
#include "orchestrator/images.h"

namespace vigia::orch {
namespace {

struct Options {
  std::string address, driver;
  bool restore = false, force = false, json = false;
};

std::string word(const std::string& driver) { return driver.empty() ? "no driver" : driver; }

int run(const Options& options) {
  const auto address = hw::PciAddress::parse(options.address);
  if (!address) {
    return report_error(input_error(fmt::format("'{}' is no PCI address; want DOMAIN:BUS:DEVICE.FUNCTION as `lspci -D` "
                                                "shows it, 0000:01:10.0",
                                                options.address)),
                        options.json);
  }
  if (options.restore != options.driver.empty()) {
    return report_error(input_error("say either a driver or --restore"), options.json);
  }
  const DriverHost host = DriverHost::here(HostDirs::from_environment().run);
  const auto bound = options.restore ? restore_function(host, *address, options.force)
                                     : bind_function(host, *address, options.driver, options.force);
  if (!bound) return report_error(bound.error(), options.json);
  if (options.json) {
    print_json({{"address", address->text()},
                {"before", bound->before},
                {"driver", bound->after},
                {"in_the_way", bound->neighbours}});
  } else {
    fmt::print("{}: {} (before: {})\n", address->text(), word(bound->after), word(bound->before));
  }
  for (const std::string& neighbour : bound->neighbours) {
    log::warning("{}: VFIO will refuse it as long as {} of its IOMMU group has that driver", address->text(),
                 neighbour);
  }
  return 0;
}

}  // namespace

HostCommand add_host_bind(CLI::App& host) {
  auto options = std::make_shared<Options>();
  CLI::App* command = host.add_subcommand("bind", "Give a PCI function to a driver, and back");
  command->add_option("ADDRESS", options->address, "As `lspci -D` shows it: 0000:01:10.0")->required();
  command->add_option("DRIVER", options->driver, "vfio-pci for programs and VMs, or one of the kernel's: igbvf");
  command->add_flag("--restore", options->restore, "Back to the driver that it had before the first bind");
  command->add_flag("--force", options->force, "Also when its network interface is up");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "The driver is loaded when it is not; the one before is remembered until the next boot.\n"
      "Exit status: 0 the driver has it; 1 it could not be given; 2 no such device, its interface is up, or nothing "
      "is\n"
      "remembered.\n"
      "Example: vigia host bind 0000:01:10.0 vfio-pci");
  return {command, [options] { return run(*options); }};
}

}  // namespace vigia::orch
