// SPDX-License-Identifier: Apache-2.0
// vigia-capture run and attach as a whole, on a fake device.
#include "vfdriver/capture.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "hw/counter_file.h"
#include "tests/vfdriver/capture_fixture.h"
#include "vfdriver/capture_cli.h"
#include "vfdriver/cli_values.h"
#include "vfdriver/listener_server.h"
#include "vfdriver/reader.h"
#include "vfdriver/run_dir.h"

namespace vigia::vf {
namespace {

using std::chrono::milliseconds;

std::uint64_t count_frames(const std::filesystem::path& path) {
  auto reader = must(open_capture(path));
  FrameView view;
  std::uint64_t next = 0;
  while (must(reader->next(view))) {
    std::uint64_t index = 0;
    std::memcpy(&index, view.bytes.data(), sizeof(index));
    EXPECT_EQ(index, next++);
  }
  return next;
}

TEST(Capture, EveryFrameOfTheDeviceIsInTheFileAndTheLedgerBalances) {
  for (const char* store : {"pcapng", "raw", "none"}) {
    CaptureUnderTest t;
    if (store == std::string("pcapng")) t.options.out = t.dir / "a.pcapng";
    if (store == std::string("raw")) t.options.raw = t.dir / "raw";
    t.start();
    t.device.port.offered = 50'000;
    t.wait_taken(1000);
    EXPECT_TRUE(t.finish()) << "what the device had finished is taken after the stop";
    const auto accounts = t.counters();
    EXPECT_EQ(accounts.at("engine.taken"), 50'000u);
    EXPECT_EQ(accounts.at("engine.left_in_ring"), 0u);
    EXPECT_EQ(accounts.at("engine.taken"), accounts.at("engine.appended") + accounts.at("engine.ring_full"));
    const auto stats = t.stats();
    EXPECT_EQ(stats["frames"], 50'000);
    EXPECT_EQ(stats["lost"], accounts.at("engine.ring_full"));
    EXPECT_EQ(stats["accounts"]["engine.taken"], 50'000);
    EXPECT_EQ(t.device.stops, 1u);
    if (store == std::string("none")) continue;
    EXPECT_EQ(accounts.at("store.stored"), accounts.at("engine.appended"));
    EXPECT_EQ(count_frames(stats["file"].get<std::string>()), 50'000u);
  }
}

TEST(Capture, StopsAfterCountAndAfterTime) {
  CaptureUnderTest count;
  count.options.max_frames = 1234;
  count.options.out = count.dir / "a.pcap";
  count.start();
  count.device.port.offered = 5000;
  EXPECT_TRUE(count.finish(false));
  EXPECT_EQ(count_frames(count.dir / "a.pcap"), 1234u);
  EXPECT_EQ(count.counters().at("engine.left_in_ring"), 5000u - 1234);
  CaptureUnderTest time;
  time.options.max_time = milliseconds(60);
  time.start();
  EXPECT_TRUE(time.finish(false));
}

TEST(Capture, DeadDeviceIsAnErrorAfterEverythingIsWritten) {
  CaptureUnderTest t;
  t.options.out = t.dir / "a.pcapng";
  t.start();
  t.device.port.offered = 500;
  t.wait_taken(500);
  t.device.state = Health::gone;
  const auto& result = t.finish(false);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().exit_status(), 1);
  EXPECT_NE(result.error().text.find("is gone"), std::string::npos);
  EXPECT_EQ(count_frames(t.dir / "a.pcapng"), 500u);
  EXPECT_EQ(t.stats()["frames"], 500);
}

TEST(Capture, SurvivesARestartOfThePf) {
  CaptureUnderTest t;
  t.options.out = t.dir / "a.pcapng";
  t.start();
  t.device.port.offered = 500;
  t.wait_taken(500);
  t.device.failing_starts = 3;
  t.device.port.offered = 600;
  t.device.state = Health::pf_reset;
  while (t.device.state != Health::good) std::this_thread::sleep_for(milliseconds(1));
  t.device.port.offered = 700;
  t.wait_taken(700);
  EXPECT_TRUE(t.finish());
  EXPECT_EQ(t.stats()["pf_restarts"], 1);
  EXPECT_EQ(count_frames(t.dir / "a.pcapng"), 700u);
}

TEST(Capture, StopDuringAnEndlessPfRestartIsClean) {
  CaptureUnderTest t;
  t.start();
  t.device.failing_starts = 1'000'000;
  t.device.state = Health::pf_reset;
  std::this_thread::sleep_for(milliseconds(150));
  EXPECT_TRUE(t.finish());
}

TEST(Capture, ListenersOfOtherProcessesJoinAndAreReported) {
  CaptureUnderTest t;
  t.start();
  auto listener = must(Attachment::attach(must(socket_of("agent")), ListenerKind::overwritable));
  t.device.port.offered = 300;
  t.wait_taken(300);
  const auto info = nlohmann::json::parse(must(ask_info(must(socket_of("agent")))));
  EXPECT_EQ(info["name"], "agent");
  EXPECT_EQ(info["listeners"].size(), 1u);
  EXPECT_EQ(info["listeners"][0]["kind"], "overwritable");
  EXPECT_EQ(known_captures(), std::vector<std::string>{"agent"});
  EXPECT_TRUE(t.finish());
  std::uint64_t frames = 0;
  while (!listener.reader().finished()) frames += listener.reader().read(1000, [](const FrameView&) {});
  EXPECT_EQ(frames, 300u) << "also after the capture process has ended";
  EXPECT_TRUE(known_captures().empty());
}

TEST(Capture, WrongOptionsAreInputErrors) {
  TempDir dir;
  const auto says = [](auto change) {
    CaptureOptions options;
    options.device = "fake:0";
    change(options);
    const auto result = validate(options);
    EXPECT_FALSE(result);
    if (result) return std::string();
    EXPECT_EQ(result.error().exit_status(), 2);
    return result.error().text;
  };
  using O = CaptureOptions;
  EXPECT_NE(says([](O& o) { o.name = "a/b"; }).find("capture name"), std::string::npos);
  EXPECT_NE(says([](O& o) { o.out = "x.txt"; }).find(".pcapng, .pcap or .raw"), std::string::npos);
  EXPECT_NE(says([](O& o) { o.out = "x.pcap", o.raw = "d"; }).find("one store"), std::string::npos);
  EXPECT_NE(says([](O& o) { o.snaplen = 0; }).find("--snaplen"), std::string::npos);
  EXPECT_NE(says([](O& o) { o.quota = 1; }).find("--quota"), std::string::npos);
  EXPECT_NE(says([](O& o) { o.cpus.cpus = {100'000}; }).find("--cpus 100000"), std::string::npos);
  EXPECT_NE(says([](O& o) { o.cpus.cpus = {0, 0}; }).find("2 CPU(s) for 1 queue(s)"), std::string::npos);
  EXPECT_NE(says([](O& o) { o.port.queues = 3; }).find("3 receive queues"), std::string::npos);
  EXPECT_NE(says([](O& o) { o.ring.data_bytes = 1000; }).find("ring"), std::string::npos);
}

TEST(Capture, AClockThatThePortsOwnStampsWouldReplaceIsRefused) {
  CaptureUnderTest capture;
  capture.options.clock = must(parse_clock_options("kpt,ticks=monotonic"));
  capture.device.stamps = "the kernel's";
  const auto refused = run_capture(capture.options, capture.stop, capture.device);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().exit_status(), 2);
  for (const char* part : {"kpt,ticks=monotonic", "fake:0", "the kernel's", "--device fake:0,stamps=engine"}) {
    EXPECT_NE(refused.error().text.find(part), std::string::npos) << part << ": " << refused.error().text;
  }
  // Nobody asked: the port's stamps are taken. And a port without stamps takes any clock.
  for (const bool stamped : {true, false}) {
    CaptureUnderTest fine;
    if (stamped) fine.device.stamps = "the kernel's";
    if (!stamped) fine.options.clock = capture.options.clock;
    fine.start();
    EXPECT_TRUE(fine.finish()) << stamped;
  }
}

TEST(CliValues, Sizes) {
  const std::pair<const char*, std::uint64_t> good[] = {
      {"0", 0},           {"4096", 4096}, {"1K", 1024}, {"256M", 256u << 20}, {"2GiB", 2ull << 30},
      {"1T", 1ull << 40}, {"7B", 7}};
  for (const auto& [text, value] : good) EXPECT_EQ(must(parse_size(text)), value) << text;
  for (const char* bad : {"", "M", "-1", "1.5G", "1Q", "1 M", "99999999999999999999", "99999999T", "0x10"}) {
    EXPECT_FALSE(parse_size(bad)) << bad;
  }
}

TEST(CliValues, Durations) {
  EXPECT_EQ(must(parse_duration("10m")), std::chrono::minutes(10));
  EXPECT_EQ(must(parse_duration("90")), std::chrono::seconds(90));
  EXPECT_EQ(must(parse_duration("500ms")), milliseconds(500));
  EXPECT_EQ(must(parse_duration("2h")), std::chrono::hours(2));
  for (const char* bad : {"", "0", "m", "1d", "-5s", "1.5s", "18446744073709551615h"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

int run_cli(CaptureCommand (*add)(CLI::App&), std::vector<std::string> words) {
  CLI::App app("test");
  const CaptureCommand command = add(app);
  std::reverse(words.begin(), words.end());
  try {
    app.parse(words);
  } catch (const CLI::ParseError&) {
    return 2;
  }
  return command.run();
}

TEST(Cli, ConvertAndInfo) {
  TempDir dir;
  {
    auto writer = must(create_capture_file(dir / "a.pcapng", FileFormat::pcapng, {}));
    for (std::uint64_t i = 0; i < 10; ++i) writer->write({Stamp::of_ns(i + 1), 60, frame_of(i, 60)});
    ASSERT_TRUE(writer->finish({}));
  }
  const std::string in = dir / "a.pcapng";
  EXPECT_EQ(run_cli(add_convert_command, {"convert", in, dir / "b.raw"}), 0);
  EXPECT_EQ(count_frames(dir / "b.raw"), 10u);
  EXPECT_EQ(run_cli(add_convert_command, {"convert", in, dir / "c", "--format", "pcap"}), 0);
  EXPECT_EQ(count_frames(dir / "c"), 10u);
  EXPECT_EQ(run_cli(add_convert_command, {"convert", in, dir / "c.doc"}), 2);
  EXPECT_EQ(run_cli(add_convert_command, {"convert", in, in}), 2) << "would truncate its own input";
  EXPECT_EQ(count_frames(in), 10u);
  EXPECT_EQ(run_cli(add_convert_command, {"convert", in, "/proc/nowhere/x.raw"}), 1);
  EXPECT_EQ(run_cli(add_convert_command, {"convert", dir / "none", dir / "d.raw"}), 2);
  EXPECT_FALSE(std::filesystem::exists(dir / "d.raw")) << "nothing half done";
  EXPECT_EQ(run_cli(add_info_command, {"info", in, "--json"}), 0);
  EXPECT_EQ(run_cli(add_info_command, {"info"}), 0);
  EXPECT_EQ(run_cli(add_info_command, {"info", "nobody"}), 2);
  EXPECT_EQ(run_cli(add_attach_command, {"attach", "nobody"}), 1);
  EXPECT_EQ(run_cli(add_attach_command, {"attach", "nobody", "--write", "x.doc"}), 2);
  EXPECT_EQ(run_cli(add_run_command, {"run", "--device", "fake:0", "--ring", "3Q"}), 2);
  EXPECT_EQ(run_cli(add_attach_command, {"attach", "nobody@1"}), 1);
  EXPECT_EQ(run_cli(add_attach_command, {"attach", "nobody@x"}), 2);
  EXPECT_EQ(run_cli(add_run_command, {"run", "--device", "fake:0", "--name", "a b"}), 2);
  EXPECT_EQ(run_cli(add_run_command, {"run", "--device", "fake:0", "--cpus", "some"}), 2);
  EXPECT_EQ(run_cli(add_run_command, {"run", "--device", "fake:0", "--queues", "2", "--cpus", "0"}), 2);
  EXPECT_EQ(run_cli(add_run_command, {"run", "--simulate", "capture", "--queues", "2"}), 2);
}

// Of any content.
std::uint64_t frames_in(const std::filesystem::path& path) {
  auto reader = must(open_capture(path));
  FrameView view;
  while (must(reader->next(view))) {
  }
  return reader->report().frames;
}

TEST(Cli, SimulateAndExtract) {
  TempDir dir;
  const std::string raw = dir / "raw";
  EXPECT_EQ(run_cli(add_run_command, {"run"}), 2) << "no device";
  EXPECT_EQ(run_cli(add_run_command, {"run", "--simulate", "capture", "--device", "fake:0"}), 2);
  EXPECT_EQ(run_cli(add_run_command, {"run", "--simulate", "disk"}), 2);
  EXPECT_EQ(run_cli(add_run_command, {"run", "--rotate", "60"}), 2) << "needs --raw";
  EXPECT_EQ(run_cli(add_run_command,
                    {"run", "--simulate", "capture", "--raw", raw, "--ring", "8M", "--file-size", "2M", "--rotate",
                     "1h", "--count", "5000", "--frame-size", "1000", "--keep", "--stats-json", dir / "stats.json"}),
            0);
  EXPECT_EQ(frames_in(raw), 5000u);
  const auto stats = slurp(dir / "stats.json");
  EXPECT_NE(std::string(stats.begin(), stats.end()).find("\"frames\": 5000"), std::string::npos);
  const std::string out = dir / "out.pcapng";
  EXPECT_EQ(run_cli(add_extract_command, {"extract", raw, "--last", "1h", "-o", out, "--json"}), 0);
  EXPECT_EQ(frames_in(out), 5000u);
  EXPECT_EQ(run_cli(add_extract_command, {"extract", raw, "--to", "now-1h", "-o", out}), 0);
  EXPECT_EQ(frames_in(out), 0u);
  EXPECT_EQ(run_cli(add_extract_command, {"extract", raw, "--filter", "udp port 9", "--format", "pcap", "-o", out}), 0);
  EXPECT_EQ(frames_in(out), 5000u);
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"extract", raw, "--from", "yesterday", "-o", out},
        {"extract", raw, "--last", "1h", "--from", "now", "-o", out},
        {"extract", raw, "--from", "now", "--to", "now-1h", "-o", out},
        {"extract", raw, "-o", dir / "out.doc"},
        {"extract", out, "-o", out},
        {"extract", raw}}) {
    EXPECT_EQ(run_cli(add_extract_command, wrong), 2) << wrong.back();
  }
}

TEST(Cli, AttachCountsAndWrites) {
  CaptureUnderTest t(2);
  t.start();
  std::thread feed([&] {
    while (!t.stop.stop) {
      for (FakePort& port : t.device.ports) port.offered += 10;
      std::this_thread::sleep_for(milliseconds(1));
    }
  });
  EXPECT_EQ(run_cli(add_attach_command,
                    {"attach", "agent", "--count", "100", "--write", t.dir / "look.pcapng", "--lossless"}),
            0);
  EXPECT_EQ(run_cli(add_attach_command, {"attach", "agent@1", "--count", "50", "--write", t.dir / "one.pcap"}), 0);
  EXPECT_EQ(run_cli(add_attach_command, {"attach", "agent@2"}), 1) << "there is none";
  t.stop.stop = true;
  feed.join();
  EXPECT_TRUE(t.finish());
  EXPECT_EQ(frames_in(t.dir / "look.pcapng"), 100u);
  auto reader = must(open_capture(t.dir / "one.pcap"));
  FrameView view;
  while (must(reader->next(view)))
    EXPECT_EQ(view.bytes[4], std::byte{1}) << "frames of queue 1 are numbered from 1 << 32";
  EXPECT_EQ(reader->report().frames, 50u);
}

}  // namespace
}  // namespace vigia::vf
