// SPDX-License-Identifier: Apache-2.0
#include "hw/counter_file.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "tests/temp_dir.h"

namespace vigia::hw {
namespace {

const std::vector<std::string> kNames{"wire.sent", "vf0.written", std::string(55, 'n')};

std::string good_file(const std::filesystem::path& path) {
  auto file = CounterFile::create(path, kNames);
  file->at(0).set(7);
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Error error_for(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  const auto read = read_counters(path);
  return read ? Error{std::errc{}, "was accepted"} : read.error();
}

TEST(CounterFile, ReadersAddTheSumsOfParts) {
  test::TempDir dir;
  const std::vector<std::string> names{"engine@0.taken", "engine@1.taken", "engine@1.marked", "store.read", "a@b",
                                       "x.y@1",          "twice@0.n",      "twice.n"};
  const auto file = CounterFile::create(dir / "c", names);
  ASSERT_TRUE(file);
  for (std::size_t i = 0; i < names.size(); ++i) file->at(i).set(std::uint64_t{1} << i);
  std::map<std::string, std::uint64_t> expected{{"engine.taken", 3}, {"engine.marked", 4}};
  for (std::size_t i = 0; i < names.size(); ++i) expected[names[i]] = std::uint64_t{1} << i;
  EXPECT_EQ(file->snapshot(), expected);
  EXPECT_EQ(read_counters(dir / "c")->values, expected);
}

TEST(CounterFile, RefusesForeignFiles) {
  test::TempDir dir;
  const auto path = dir / "c";
  const std::string good = good_file(path);
  ASSERT_EQ(good.size(), 64 + 3 * 64u);
  struct Row {
    const char* what;
    std::function<void(std::string&)> damage;
    const char* says;
  };
  const Row rows[] = {
      {"empty", [](auto& b) { b.clear(); }, "shorter than its header"},
      {"half a header", [](auto& b) { b.resize(63); }, "shorter than its header"},
      {"magic", [](auto& b) { b[0] = 'X'; }, "does not begin as"},
      {"version", [](auto& b) { b[8] = 2; }, "version 2"},
      {"cut in an entry", [](auto& b) { b.pop_back(); }, "cut short?"},
      {"cut after an entry", [](auto& b) { b.resize(b.size() - 64); }, "cut short?"},
      {"longer", [](auto& b) { b += 'x'; }, "cut short?"},
      {"count huge", [](auto& b) { std::memset(b.data() + 12, 0xff, 4); }, "cut short?"},
      {"name without an end", [](auto& b) { std::memset(b.data() + 64, 'a', 56); }, "no proper name"},
      {"name empty", [](auto& b) { b[64] = 0; }, "no proper name"},
      {"name twice", [](auto& b) { std::memcpy(b.data() + 128, b.data() + 64, 56); }, "twice"},
  };
  for (const Row& row : rows) {
    std::string bytes = good;
    row.damage(bytes);
    const Error error = error_for(path, bytes);
    EXPECT_EQ(error.exit_status(), 2) << row.what;
    EXPECT_NE(error.text.find(row.says), std::string::npos) << row.what << ": " << error.text;
    EXPECT_NE(error.text.find(path.native()), std::string::npos) << error.text;
  }
}

TEST(CounterFile, RefusesWhatIsNoFile) {
  test::TempDir dir;
  EXPECT_EQ(read_counters(dir / "none").error().exit_status(), 1);
  EXPECT_EQ(read_counters(dir.path()).error().exit_status(), 2);
  std::ofstream(dir / "big").close();
  std::filesystem::resize_file(dir / "big", 1u << 30);
  EXPECT_NE(read_counters(dir / "big").error().text.find("is it another file?"), std::string::npos);
}

TEST(CounterFile, CannotBeCreatedWhereThereIsNoFolder) {
  test::TempDir dir;
  const auto file = CounterFile::create(dir / "none/c", kNames);
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().text.find("No such file"), std::string::npos) << file.error().text;
}

TEST(CounterFile, CountsAndIsReadWhileOpen) {
  test::TempDir dir;
  auto file = CounterFile::create(dir / "c", kNames);
  ASSERT_TRUE(file);
  Counter sent = file->named("wire.sent");
  sent.add(40);
  sent.add(2);
  file->at(2).set(UINT64_MAX);
  EXPECT_EQ(sent.value(), 42u);
  const auto read = read_counters(dir / "c");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->pid, static_cast<std::uint64_t>(::getpid()));
  EXPECT_EQ(read->values, file->snapshot());
  EXPECT_EQ(read->values, (std::map<std::string, std::uint64_t>{
                              {"wire.sent", 42}, {"vf0.written", 0}, {std::string(55, 'n'), UINT64_MAX}}));
  EXPECT_DEATH(file->named("wire.sen"), "invariant");
  EXPECT_DEATH(file->at(3), "invariant");
}

TEST(CounterFile, ANewOneDoesNotDisturbWhoeverHasTheOldOne) {
  test::TempDir dir;
  auto old = CounterFile::create(dir / "c", kNames);
  old->at(0).set(1);
  auto fresh = CounterFile::create(dir / "c", kNames);
  old->at(0).add(1);
  fresh->at(0).set(5);
  EXPECT_EQ(old->at(0).value(), 2u);
  EXPECT_EQ(read_counters(dir / "c")->values.at("wire.sent"), 5u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1) << "no other file stays behind";
}

TEST(CounterFile, OutlivesAKilledWriter) {
  test::TempDir dir;
  const pid_t child = ::fork();
  if (child == 0) {
    auto file = CounterFile::create(dir / "c", kNames);
    for (int i = 0; i < 1000; ++i) file->at(1).add(1);
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto read = read_counters(dir / "c");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->pid, static_cast<std::uint64_t>(child));
  EXPECT_EQ(read->values.at("vf0.written"), 1000u);
}

TEST(CounterFile, AnEmptyPathIsPrivateMemory) {
  auto file = CounterFile::create("", kNames);
  ASSERT_TRUE(file);
  CounterFile moved = std::move(*file);
  moved.named("vf0.written").add(3);
  EXPECT_EQ(moved.snapshot().at("vf0.written"), 3u);
}

TEST(CounterFile, NamesMustFit) {
  const auto create = [](std::vector<std::string> names) { (void)CounterFile::create("", names); };
  EXPECT_DEATH(create({std::string(56, 'x')}), "invariant");
  EXPECT_DEATH(create({"a", "a"}), "invariant");
  EXPECT_DEATH(create({""}), "invariant");
}

}  // namespace
}  // namespace vigia::hw
