// SPDX-License-Identifier: Apache-2.0
// The software 82599 with its PF manager, in threads of the test process: the VF driver under test reaches it through
// a real vfio-user socket, and nothing of it is a fake.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "hw/pci_function.h"
#include "pfdriver/manager.h"
#include "softnic/device.h"
#include "softnic/server.h"
#include "softnic/wire.h"
#include "tests/temp_dir.h"

namespace vigia::vf::test {

inline hw::Mac mac_of(unsigned vf) { return hw::Mac{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(vf + 1)}}; }

class SoftNic {
 public:
  using Turn = std::function<void(bool started)>;

  // each_turn: called in every round of the device's thread, with whether the wire has started; the device then has a
  // core of its own and behaves as vigia-softnic: it never sleeps from there on, and while frames move it looks at its
  // sockets every 50 us. Empty: it sleeps up to a millisecond when nothing is due.
  explicit SoftNic(softnic::DeviceOptions options, const std::string& wire = {}, Turn each_turn = {})
      : each_turn_(std::move(each_turn)) {
    auto opened = wire.empty() ? Result<std::unique_ptr<softnic::Wire>>(std::unique_ptr<softnic::Wire>{})
                               : softnic::open_wire(wire);
    if (!opened) throw std::runtime_error(opened.error().text);
    auto device = softnic::Device::create(options, std::move(*opened), nullptr);
    if (!device) throw std::runtime_error(device.error().text);
    device_ = std::move(*device);
    server_ = std::move(*softnic::Server::create());
    listen("pf", device_->pf());
    for (unsigned v = 0; v < options.vfs; ++v) listen("vf" + std::to_string(v), device_->vf(v));
    thread_ = std::thread([this] { run(); });
  }
  ~SoftNic() { stop(); }

  std::string spec(const std::string& function) const { return "vfio-user:" + (dir_ / (function + ".sock")).native(); }
  // Ends the server; its clients see a device that is gone.
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  // After stop().
  std::uint64_t account(const std::string& name) const { return device_->accounts().at(name); }

 private:
  void listen(const std::string& name, softnic::FunctionModel& model) {
    if (auto ok = server_->listen(dir_ / (name + ".sock"), model); !ok) throw std::runtime_error(ok.error().text);
  }
  void run() {
    auto next_poll = std::chrono::steady_clock::now();
    while (!stop_) {
      const auto now = std::chrono::steady_clock::now();
      const bool moved =
          device_->run_once(static_cast<std::uint64_t>(std::chrono::nanoseconds(now.time_since_epoch()).count()));
      const bool started = each_turn_ && device_->wire_started();
      if (each_turn_) each_turn_(started);
      if (started && moved && now < next_poll) continue;
      (void)server_->poll(moved || started ? 0 : 1);
      next_poll = now + std::chrono::microseconds(50);
    }
    server_->close();
  }

  const Turn each_turn_;
  vigia::test::TempDir dir_;
  std::unique_ptr<softnic::Device> device_;
  std::unique_ptr<softnic::Server> server_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// vigia-pf's work in a thread.
class PfThread {
 public:
  // look: how often it looks for messages of the VFs.
  PfThread(const SoftNic& nic, unsigned vfs, unsigned mtu = 1500,
           std::chrono::milliseconds look = std::chrono::milliseconds(1)) {
    auto function = hw::open_function(nic.spec("pf"));
    if (!function) throw std::runtime_error(function.error().text);
    function_ = std::move(*function);
    pf::PfConfig config;
    config.vfs = vfs;
    config.mtu = mtu;
    for (unsigned v = 0; v < vfs; ++v) {
      pf::VfConfig one;
      one.index = v;
      one.mac = mac_of(v);
      config.vf.push_back(one);
    }
    auto manager = pf::Manager::start(*function_, pf::complete(config), dir_ / "journal", false);
    if (!manager) throw std::runtime_error(manager.error().text);
    manager_ = std::move(*manager);
    thread_ = std::thread([this, look] {
      while (!stop_) {
        manager_->service();
        std::this_thread::sleep_for(look);
      }
    });
  }
  // orderly: VFs are told; else the process just vanishes.
  void leave(bool orderly) {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    if (orderly && manager_) manager_->stop();
    manager_.reset();
    function_.reset();
  }
  ~PfThread() { leave(true); }

 private:
  vigia::test::TempDir dir_;
  std::unique_ptr<hw::PciFunction> function_;
  std::unique_ptr<pf::Manager> manager_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Until done() or the time is over; says which.
inline bool eventually(const std::function<bool()>& done, std::chrono::seconds limit = std::chrono::seconds(20)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace vigia::vf::test
