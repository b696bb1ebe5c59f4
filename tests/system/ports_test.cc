// SPDX-License-Identifier: Apache-2.0
// vigia-capture on ports that are no virtual function: a file played again, an interface of the kernel.
#include <gmock/gmock.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "lab.h"
#include "tests/temp_dir.h"

namespace vigia::system_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class PortsTest : public ::testing::Test {
 protected:
  PortsTest() { ::setenv("VIGIA_RUN_DIR", (dir_ / "run").c_str(), 1); }

  std::vector<std::string> capture(const std::string& device, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> argv{program("vigia-capture").string(),
                                  "run",
                                  "--device",
                                  device,
                                  "--ring",
                                  "16M",
                                  "--out",
                                  (dir_ / "out.pcapng").string(),
                                  "--stats-json",
                                  (dir_ / "stats.json").string(),
                                  "--ready-file",
                                  (dir_ / "ready").string()};
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }
  json stats() const {
    std::ifstream in(dir_ / "stats.json");
    return json::parse(in, nullptr, false);
  }

  vigia::test::TempDir dir_;
};

TEST_F(PortsTest, AFilePlayedAgainIsTheSameFile) {
  const auto done = run(capture("file:" + demo_capture().string() + ",rate=max"));
  ASSERT_EQ(done.status, 0) << done.err;
  const auto in = read_frames(demo_capture()), out = read_frames(dir_ / "out.pcapng");
  ASSERT_EQ(out.size(), in.size());
  for (std::size_t i = 0; i < in.size(); ++i) ASSERT_EQ(out[i].bytes, in[i].bytes) << i;
  EXPECT_EQ(stats()["frames"], in.size());
  EXPECT_EQ(stats()["lost"], 0);
  EXPECT_EQ(stats()["driver"], "file");
  EXPECT_EQ(stats()["mac"], "");
  EXPECT_EQ(stats()["accounts"]["port.offered"], in.size());
}

TEST_F(PortsTest, AFileThatIsNoneIsWrongInput) {
  const auto missing = run(capture("file:" + (dir_ / "none.pcap").string()));
  EXPECT_EQ(missing.status, 2) << missing.err;
  const auto scheme = run(capture("pcap:" + demo_capture().string()));
  EXPECT_EQ(scheme.status, 2);
  EXPECT_THAT(scheme.err, HasSubstr("want vfio:ADDRESS"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "out.pcapng"));
}

// A network namespace with a veth pair, by name, for programs.
class Namespace {
 public:
  Namespace() : name_("vigia-test-" + std::to_string(::getpid())) {
    made_ = command("ip netns add " + name_) && command(in() + "sysctl -qw net.ipv6.conf.default.disable_ipv6=1") &&
            command(in() + "ip link add va type veth peer name vb") && command(in() + "ip link set va up") &&
            command(in() + "ip link set vb up");
  }
  ~Namespace() { command("ip netns del " + name_); }
  bool made() const { return made_; }
  const std::string& name() const { return name_; }
  std::string in() const { return "ip netns exec " + name_ + " "; }
  static bool command(const std::string& text) { return std::system((text + " >/dev/null 2>&1").c_str()) == 0; }

 private:
  std::string name_;
  bool made_ = false;
};

TEST_F(PortsTest, AnInterfaceIsCapturedByBothKernelPorts) {
  const Namespace ns;
  if (!ns.made())
    GTEST_SKIP() << "SKIPPED, NOT PASSED: no network namespace with a veth pair can be made here; be root";
  const std::string send = ns.in() +
                           "python3 -c \"import socket; s = socket.socket(17, 3); s.bind(('vb', 0)); "
                           "[s.send(bytes([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]) + i.to_bytes(50, 'big')) "
                           "for i in range(1000)]\"";
  for (const std::string device : {"packet:va", "xdp:va", "xdp:va@0,mode=generic"}) {
    std::filesystem::remove(dir_ / "ready");
    auto argv = capture(device, {"--count", "1000", "--for", "30s"});
    argv.insert(argv.begin(), {"ip", "netns", "exec", ns.name()});
    Process process(argv);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!std::filesystem::exists(dir_ / "ready") && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ASSERT_TRUE(Namespace::command(send)) << device;
    const auto done = process.wait(std::chrono::seconds(60));
    ASSERT_EQ(done.status, 0) << device << ": " << done.err;
    const auto frames = read_frames(dir_ / "out.pcapng");
    ASSERT_EQ(frames.size(), 1000u) << device;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      const auto low = static_cast<unsigned char>(frames[i].bytes[63]),
                 high = static_cast<unsigned char>(frames[i].bytes[62]);
      ASSERT_EQ(low + 256u * high, i) << device;
    }
    EXPECT_EQ(stats()["accounts"]["port.dropped"], 0) << device;
    EXPECT_EQ(stats()["accounts"]["port.offered"], 1000) << device;
    EXPECT_EQ(stats()["lost"], 0) << device;
    EXPECT_THAT(stats()["mac"].get<std::string>(), ::testing::SizeIs(17));
  }
}

TEST_F(PortsTest, AnInterfaceThatIsDeletedEndsTheCaptureWithASentence) {
  const Namespace ns;
  if (!ns.made())
    GTEST_SKIP() << "SKIPPED, NOT PASSED: no network namespace with a veth pair can be made here; be root";
  for (const std::string device : {"packet:va", "xdp:va"}) {
    Namespace::command(ns.in() + "ip link add va type veth peer name vb");
    Namespace::command(ns.in() + "ip link set va up");
    std::filesystem::remove(dir_ / "ready");
    auto argv = capture(device);
    argv.insert(argv.begin(), {"ip", "netns", "exec", ns.name()});
    Process process(argv);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!std::filesystem::exists(dir_ / "ready") && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ASSERT_TRUE(Namespace::command(ns.in() + "ip link del va"));
    const auto done = process.wait(std::chrono::seconds(30));
    EXPECT_EQ(done.status, 1) << device;
    EXPECT_THAT(done.err, HasSubstr("interface va does not exist any more")) << device;
  }
}

}  // namespace
}  // namespace vigia::system_test
