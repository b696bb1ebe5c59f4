// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/daemon.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <vector>

#include "hw/fd.h"
#include "hw/log.h"
#include "pfdriver/control.h"
#include "pfdriver/dpdk/manager.h"
#include "pfdriver/kernel/manager.h"
#include "pfdriver/manager.h"
#include "pfdriver/tc/manager.h"

namespace vigia::pf {
namespace {

Result<Fd> signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return os_error("block signals");
  Fd fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd) return os_error("open signalfd");
  return fd;
}

std::optional<int> next_signal(int fd) {
  signalfd_siginfo info{};
  if (::read(fd, &info, sizeof(info)) != static_cast<ssize_t>(sizeof(info))) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

Result<Done> write_ready(const std::filesystem::path& file) {
  if (file.empty()) return Done{};
  const std::filesystem::path fresh = file.string() + ".new";
  std::ofstream(fresh) << "ready\n";
  if (::rename(fresh.c_str(), file.c_str()) != 0) return os_error("write ready file " + file.string());
  return Done{};
}

void report(const Plan& plan) {
  for (const std::string& scope : plan.scopes) log::info("{}", scope);
  for (const std::string& warning : plan.warnings) log::warning("{}", warning);
}

void reload(Generator& generator, const std::filesystem::path& file) {
  const auto config = load_config(file);
  const auto applied = config ? generator.apply(*config) : Result<Plan>(config.error());
  if (applied) {
    log::info("{}: read again, {} changes", file.string(), applied.value().size());
    report(applied.value());
  } else {
    log::error("{}: not applied, the port stays as it was:\n{}", file.string(), applied.error().text);
  }
}

Result<Done> serve(Generator& generator, ControlServer* control, int signal_fd, const DaemonOptions& options) {
  std::vector<pollfd> fds;
  for (;;) {
    fds.assign(1, {signal_fd, POLLIN, 0});
    generator.add_to(fds);
    if (control != nullptr) control->add_to(fds);
    if (::poll(fds.data(), fds.size(), static_cast<int>(generator.patience().count())) < 0 && errno != EINTR) {
      return os_error("wait for events");
    }
    generator.service();
    if (!generator.alive()) {
      return work_error(options.device +
                        ": the device is gone (its server ended, or it was unplugged); VFs lost with it");
    }
    if (control != nullptr) control->serve(fds);
    while (const auto signal = next_signal(signal_fd)) {
      if (*signal != SIGHUP) return Done{};
      reload(generator, options.config);
    }
  }
}

// A generator, and what it stands on.
struct Port {
  std::unique_ptr<hw::PciFunction> function;
  std::unique_ptr<Generator> generator;
};

Result<Port> open_native(const DaemonOptions& options, PfConfig config) {
  Port port;
  auto function = hw::open_function(options.device);
  if (!function) return function.error();
  port.function = std::move(*function);
  int interrupt_fd = -1;
  if (auto vectors = port.function->enable_msix(1)) {
    interrupt_fd = vectors->at(0);
  } else {
    log::warning("{}: no MSI-X, mailboxes are polled: {}", options.device, vectors.error().text);
  }
  auto manager = Manager::start(*port.function, std::move(config), options.journal, interrupt_fd >= 0);
  if (!manager) return manager.error();
  manager.value()->wake_by(interrupt_fd);
  port.generator = std::move(*manager);
  return port;
}

Result<Port> open_kernel(const DaemonOptions& options, const PfConfig& config) {
  auto ways = open_kernel_ways(options.device);
  if (!ways) return ways.error();
  auto manager = KernelManager::start(std::move(*ways), config, options.journal);
  if (!manager) return manager.error();
  Port port;
  port.generator = std::move(*manager);
  return port;
}

Result<Port> open_dpdk(const DaemonOptions& options, const PfConfig& config) {
  constexpr std::string_view kVfio = "vfio:";
  if (!options.device.starts_with(kVfio)) {
    return input_error(fmt::format("device '{}': generator dpdk takes vfio:ADDRESS", options.device));
  }
  auto sriov = Sriov::find("pci:" + options.device.substr(kVfio.size()));
  if (!sriov) return sriov.error();
  auto manager = DpdkManager::start(std::move(*sriov), config, options.testpmd);
  if (!manager) return manager.error();
  Port port;
  port.generator = std::move(*manager);
  return port;
}

Result<Port> open_tc(const PfConfig& config) {
  auto control = open_traffic_control();
  if (!control) return control.error();
  auto netlink = open_route_netlink();
  if (!netlink) return netlink.error();
  auto manager = TcManager::start(std::move(*control), std::move(*netlink), config);
  if (!manager) return manager.error();
  Port port;
  port.generator = std::move(*manager);
  return port;
}

// The device and the generator must be of the same mind: what the kernel drives is named by address or interface, what
// vigia-pf drives by the way to it.
Result<Port> open_port(const DaemonOptions& options, PfConfig config) {
  if (config.generator == GeneratorKind::tc) {
    if (options.device.empty()) return open_tc(config);
    return input_error(fmt::format("device '{}': generator tc has none: the interfaces are in {}; leave --device out",
                                   options.device, options.config.string()));
  }
  if (options.device.empty()) {
    return input_error(
        fmt::format("pf.generator {} needs a device: name it with --device", generator_word(config.generator)));
  }
  const bool kernels = options.device.starts_with("pci:") || options.device.starts_with("netdev:") ||
                       options.device.find(':') == std::string::npos;
  if (config.generator == GeneratorKind::native && kernels) {
    return input_error(
        fmt::format("device '{}' is the kernel's, and pf.generator is native: set generator: kernel in {}, or bind the "
                    "device to vfio-pci and name it vfio:ADDRESS",
                    options.device, options.config.string()));
  }
  if (config.generator == GeneratorKind::dpdk) return open_dpdk(options, config);
  if (config.generator == GeneratorKind::kernel) return open_kernel(options, config);
  return open_native(options, std::move(config));
}

}  // namespace

Result<Done> run_daemon(const DaemonOptions& options) {
  auto config = load_config(options.config);
  if (!config) return config.error();
  auto signal_fd = signals();
  if (!signal_fd) return signal_fd.error();
  Generator* served = nullptr;
  std::unique_ptr<ControlServer> control;
  if (!options.control.empty()) {
    auto listening =
        ControlServer::listen(options.control, [&](std::string_view line) { return answer_control(*served, line); });
    if (!listening) return listening.error();
    control = std::move(*listening);
  }
  auto port = open_port(options, std::move(*config));
  if (!port) return port.error();
  served = port->generator.get();
  report(served->plan(served->config()));
  if (auto ready = write_ready(options.ready); !ready) return ready.error();
  log::info("ready: {} is up with {} VFs", options.device.empty() ? "tc" : options.device, served->config().vfs);
  if (options.once) return Done{};

  auto ended = serve(*served, control.get(), signal_fd->get(), options);
  std::error_code ignored;
  if (!options.ready.empty()) std::filesystem::remove(options.ready, ignored);
  if (!ended) return ended.error();
  served->stop();
  log::info("stopped: taps reverted{}",
            served->config().generator == GeneratorKind::native ? ", VFs told to reset" : "");
  return Done{};
}

}  // namespace vigia::pf
