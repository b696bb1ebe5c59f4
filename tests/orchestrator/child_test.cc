// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "orchestrator/lab_files.h"
#include "temp_captures.h"

namespace vigia::orch {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

Command shell(const TempFolder& dir, const std::string& script) {
  return {"sh", {"/bin/sh", "-c", script}, dir / "log"};
}

std::string log_of(const TempFolder& dir) { return last_lines(dir / "log", 100); }

TEST(Child, ProgramThatIsNotThereIsAnErrorAtOnce) {
  const TempFolder dir;
  auto child = Child::start({"x", {"/no/such/program"}, dir / "log"});
  ASSERT_FALSE(child);
  EXPECT_THAT(child.error().text, HasSubstr("start x (/no/such/program): No such file or directory"));
}

TEST(Child, LogThatCannotBeMadeIsAnError) {
  const TempFolder dir;
  auto child = Child::start({"x", {"/bin/true"}, dir / "no/such/log"});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().exit_status(), 1);
}

TEST(Child, EndsAreTold) {
  const TempFolder dir;
  auto child = Child::start(shell(dir, "echo words; echo more >&2; exit 3"));
  ASSERT_TRUE(child);
  EXPECT_TRUE(child->wait_or_kill(10s));
  EXPECT_EQ(child->ending()->text(), "ended with status 3");
  EXPECT_FALSE(child->ending()->clean());
  EXPECT_EQ(log_of(dir), "words\nmore");
}

TEST(Child, KillIsToldFromAnEnd) {
  const TempFolder dir;
  auto child = Child::start(shell(dir, "kill -9 $$"));
  ASSERT_TRUE(child);
  EXPECT_TRUE(child->wait_or_kill(10s));
  EXPECT_EQ(child->ending()->text(), "was killed by signal 9 (Killed)");
}

TEST(Child, WhoDoesNotStopIsKilled) {
  const TempFolder dir;
  auto child = Child::start(shell(dir, "trap '' TERM; echo deaf; while :; do sleep 0.01; done"));
  ASSERT_TRUE(child);
  while (log_of(dir) != "deaf") std::this_thread::sleep_for(1ms);
  child->signal(SIGTERM);
  EXPECT_FALSE(child->wait_or_kill(50ms));
  EXPECT_EQ(child->ending()->signal, SIGKILL);
}

TEST(Child, LeadsItsOwnProcessGroupAndGetsTheEnvironment) {
  const TempFolder dir;
  Command command = shell(dir, "echo $VIGIA_TEST $(ps -o pgid= -p $$) $$; sleep 60");
  command.environment = {"VIGIA_TEST=yes"};
  auto child = Child::start(command);
  ASSERT_TRUE(child);
  while (log_of(dir).empty()) std::this_thread::sleep_for(1ms);
  const std::string pid = std::to_string(child->pid());
  EXPECT_EQ(log_of(dir), "yes " + pid + " " + pid);
}

TEST(Child, DestructorLeavesNobody) {
  const TempFolder dir;
  pid_t pid = 0;
  {
    auto child = Child::start(shell(dir, "sleep 60"));
    ASSERT_TRUE(child);
    pid = child->pid();
    EXPECT_TRUE(process_exists(pid));
  }
  EXPECT_FALSE(process_exists(pid));
}

TEST(Child, DiesWithItsParent) {
  const TempFolder dir;
  const pid_t parent = ::fork();
  if (parent == 0) {
    auto child = Child::start(shell(dir, "echo $$; sleep 60"));
    ::pause();
    ::_exit(child ? 0 : 1);
  }
  while (log_of(dir).empty()) std::this_thread::sleep_for(1ms);
  const pid_t grandchild = std::stoi(log_of(dir));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  for (int i = 0; i < 1000 && process_exists(grandchild); ++i) std::this_thread::sleep_for(5ms);
  EXPECT_FALSE(process_exists(grandchild));
}

TEST(ProcessExists, ZombiesAreDead) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  for (int i = 0; i < 1000 && process_exists(pid); ++i) std::this_thread::sleep_for(5ms);
  EXPECT_FALSE(process_exists(pid));  // nobody has collected it yet
  ::waitpid(pid, nullptr, 0);
  EXPECT_FALSE(process_exists(0));
  EXPECT_TRUE(process_exists(::getpid()));
}

TEST(ShellLine, QuotesWhatAShellWouldRead) {
  EXPECT_EQ(shell_line({"x", {"prog", "plain", "two words", "it's", "", "$HOME", "a;b"}, ""}),
            "prog plain 'two words' 'it'\\''s' '' '$HOME' 'a;b'");
}

TEST(LastLines, OfFilesOfAllKinds) {
  const TempFolder dir;
  EXPECT_EQ(last_lines(dir / "gone", 2), "");
  EXPECT_EQ(last_lines(dir.write("empty", ""), 2), "");
  EXPECT_EQ(last_lines(dir.write("one", "a\n"), 2), "a");
  EXPECT_EQ(last_lines(dir.write("three", "a\nb\nc\n\n"), 2), "b\nc");
  EXPECT_EQ(last_lines(dir.write("long", std::string(5000, 'x')), 1).size(), 2048u);
}

}  // namespace
}  // namespace vigia::orch
