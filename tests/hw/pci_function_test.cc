// SPDX-License-Identifier: Apache-2.0
#include "hw/pci_function.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <thread>

#include "hw/fd_passing.h"
#include "hw/unix_socket.h"
#include "hw/vfio_user.h"
#include "hw/vfio_user_channel.h"
#include "tests/temp_dir.h"

namespace vigia::hw {
namespace {

using namespace vfio_user;

TEST(OpenFunction, AWrongSpecIsAnInputError) {
  for (const char* spec : {"", "vfio-user:", "vfio-user", "0000:03:10.0", "VFIO-USER:/x", "vfio:", "uio:", "vfio"}) {
    const auto function = open_function(spec);
    ASSERT_FALSE(function) << spec;
    EXPECT_EQ(function.error().exit_status(), 2);
    EXPECT_NE(function.error().text.find("vfio-user:SOCKET"), std::string::npos) << function.error().text;
  }
  const auto too_long = open_function("vfio-user:/" + std::string(200, 'x'));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().exit_status(), 2);
  EXPECT_NE(too_long.error().text.find("shorter"), std::string::npos);
}

TEST(OpenFunction, AWrongAddressIsAnInputError) {
  for (const char* spec : {"vfio:3:10.0", "uio:0000:03:10", "vfio:/dev/vfio/3"}) {
    const auto function = open_function(spec);
    ASSERT_FALSE(function) << spec;
    EXPECT_EQ(function.error().exit_status(), 2);
    EXPECT_NE(function.error().text.find("no PCI address"), std::string::npos) << function.error().text;
  }
  for (const char* spec : {"vfio:ffffffff:ff:1f.7", "uio:ffffffff:ff:1f.7"}) {
    const auto function = open_function(spec);
    ASSERT_FALSE(function) << spec;
    EXPECT_EQ(function.error().exit_status(), 2);
    EXPECT_NE(function.error().text.find(spec), std::string::npos) << function.error().text;
  }
}

TEST(OpenFunction, AnAbsentSocketNamesSoftnic) {
  test::TempDir dir;
  const auto function = open_function("vfio-user:" + (dir / "vf0.sock").native());
  ASSERT_FALSE(function);
  EXPECT_EQ(function.error().exit_status(), 1);
  for (const char* part : {"vf0.sock", "No such file", "vigia-softnic"}) {
    EXPECT_NE(function.error().text.find(part), std::string::npos) << function.error().text;
  }
}

// A server that answers the first request with fixed bytes and then closes or stays silent.
class CannedServer {
 public:
  CannedServer(const std::filesystem::path& path, std::string reply)
      : listener_(std::move(*listen_unix(path, Audience::owner))) {
    thread_ = std::thread([this, answer = std::move(reply)] {
      Fd client;
      while (!client) client = Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      std::array<char, 1024> request;
      (void)::recv(client.get(), request.data(), request.size(), 0);
      (void)::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      if (answer == "silent") {  // until the peer gives up
        while (::recv(client.get(), request.data(), request.size(), 0) > 0) {
        }
      }
    });
  }
  ~CannedServer() { thread_.join(); }

 private:
  Fd listener_;
  std::thread thread_;
};

std::string message(std::uint16_t id, Command command, std::uint32_t flags, std::string_view payload,
                    std::uint32_t size = 0, std::uint32_t error = 0) {
  const Header h{id, static_cast<std::uint16_t>(command),
                 size != 0 ? size : static_cast<std::uint32_t>(sizeof(Header) + payload.size()), flags, error};
  std::string bytes(sizeof h, '\0');
  std::memcpy(bytes.data(), &h, sizeof h);
  return bytes.append(payload);
}

std::string version(std::uint16_t major, std::uint16_t minor, std::string_view text) {
  const Version v{major, minor};
  std::string bytes(sizeof v, '\0');
  std::memcpy(bytes.data(), &v, sizeof v);
  return bytes.append(text);
}

TEST(Channel, AServerThatMakesNoSenseIsRefused) {
  struct Row {
    const char* what;
    std::string reply;
    const char* says;
  };
  const Row rows[] = {
      {"closed at once", "", "closed the connection"},
      {"half a header", message(1, Command::version, kReply, "").substr(0, 7), "closed the connection"},
      {"half a payload", message(1, Command::version, kReply, "abcd", 64), "closed the connection"},
      {"another id", message(2, Command::version, kReply, version(0, 0, "")), "does not fit"},
      {"another command", message(1, Command::dma_map, kReply, version(0, 0, "")), "does not fit"},
      {"a request", message(1, Command::version, kRequest, version(0, 0, "")), "does not fit"},
      {"size too small", message(1, Command::version, kReply, "", 15), "does not fit"},
      {"size too large", message(1, Command::version, kReply, "", kMaxMessage + 1), "does not fit"},
      {"no version", message(1, Command::version, kReply, "ab"), "too short"},
      {"major 1", message(1, Command::version, kReply, version(1, 0, "")), "speaks vfio-user 1.0"},
      {"minor 1", message(1, Command::version, kReply, version(0, 1, "")), "speaks vfio-user 0.1"},
      {"no JSON", message(1, Command::version, kReply, version(0, 0, "{\"capa")), "no JSON"},
      {"refusal", message(1, Command::version, kReply | kError, "", 0, EBUSY),
       "refused by the device: Device or resource"},
  };
  for (const Row& row : rows) {
    test::TempDir dir;
    CannedServer server(dir / "s", row.reply);
    const auto channel = VfioUserChannel::connect(dir / "s");
    ASSERT_FALSE(channel) << row.what;
    EXPECT_NE(channel.error().text.find(row.says), std::string::npos) << row.what << ": " << channel.error().text;
  }
}

TEST(Channel, TakesTheServersDescriptorLimit) {
  for (const auto& [text, limit] : {std::pair{"{\"capabilities\":{\"max_msg_fds\":8}}", 8u},
                                    {"{\"capabilities\":{\"max_msg_fds\":1000}}", 16u},
                                    {"{\"capabilities\":{\"max_msg_fds\":0}}", 1u},
                                    {"{\"capabilities\":{\"max_msg_fds\":\"8\"}}", 1u},
                                    {"{}", 1u},
                                    {"", 1u}}) {
    test::TempDir dir;
    std::string with_nul = text;
    if (!with_nul.empty()) with_nul += '\0';
    CannedServer server(dir / "s", message(1, Command::version, kReply, version(0, 0, with_nul)));
    const auto channel = VfioUserChannel::connect(dir / "s");
    ASSERT_TRUE(channel) << channel.error().text;
    EXPECT_EQ((*channel)->max_fds(), limit) << text;
  }
}

TEST(Channel, ASilentServerIsGivenUpAfterFiveSeconds) {
  test::TempDir dir;
  CannedServer server(dir / "s", "silent");  // 6 bytes: not even a header
  const auto start = std::chrono::steady_clock::now();
  const auto channel = VfioUserChannel::connect(dir / "s");
  const auto took = std::chrono::steady_clock::now() - start;
  ASSERT_FALSE(channel);
  EXPECT_NE(channel.error().text.find("no reply within 5 s"), std::string::npos) << channel.error().text;
  EXPECT_GE(took, std::chrono::milliseconds(4900));
  EXPECT_LE(took, std::chrono::seconds(12));
}

}  // namespace
}  // namespace vigia::hw
