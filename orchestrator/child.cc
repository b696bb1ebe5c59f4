// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

#include "hw/fd.h"

namespace vigia::orch {
namespace {

constexpr auto kStep = std::chrono::milliseconds(5);
constexpr std::streamoff kMostLog = 2048;

// Runs in the child between fork and exec: async-signal-safe calls only. Returns only when it could not.
void become(char* const* argv, char* const* environment, int log, int null, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // the parent died before the line above
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::dup2(null, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execve(argv[0], argv, environment);
}

// As exec wants it, NULL at the end; valid as long as the words.
std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));  // exec's old type; it copies
  out.push_back(nullptr);
  return out;
}

// In the child: exec failed; its errno goes up the pipe. dup2 clears the close-on-exec flag, exec closes the rest.
[[noreturn]] void report_and_exit(int pipe) {
  const int error = errno;
  [[maybe_unused]] const auto written = ::write(pipe, &error, sizeof error);
  ::_exit(127);
}

}  // namespace

std::string shell_line(const Command& command) {
  std::string line;
  std::vector<std::string> words = command.environment;
  words.insert(words.end(), command.argv.begin(), command.argv.end());
  for (const std::string& word : words) {
    const bool plain = !word.empty() && word.find_first_of(" \t\n\"'\\$&|;<>()*?[]{}~#!`") == word.npos;
    std::string quoted = word;
    for (std::size_t at = 0; (at = quoted.find('\'', at)) != quoted.npos; at += 4) quoted.replace(at, 1, "'\\''");
    line += fmt::format("{}{}", line.empty() ? "" : " ", plain ? word : fmt::format("'{}'", quoted));
  }
  return line;
}

std::string Ending::text() const {
  if (signal != 0) return fmt::format("was killed by signal {} ({})", signal, ::strsignal(signal));
  return fmt::format("ended with status {}", exit_status);
}

Result<Child> Child::start(const Command& command) {
  const Fd log(::open(command.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log) return os_error("open the log " + command.log.string());
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) return os_error("open /dev/null");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return os_error("make a pipe to start " + command.name);
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);

  std::vector<char*> argv = pointers(command.argv), environment = pointers(command.environment);
  // Ours after the additions: of two values for a name, programs take the first.
  environment.pop_back();
  for (char** entry = environ; *entry; ++entry) environment.push_back(*entry);
  environment.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return os_error("start " + command.name);
  if (pid == 0) {
    become(argv.data(), environment.data(), log.get(), null.get(), parent);
    report_and_exit(write_end.get());
  }
  write_end = Fd();
  Child child(command.name, pid);
  int error = 0;
  // End of file: exec closed the pipe, the program runs.
  if (::read(read_end.get(), &error, sizeof error) == sizeof error) {
    child.wait_or_kill(std::chrono::seconds(1));
    return os_error(fmt::format("start {} ({})", command.name, command.argv[0]), error);
  }
  return child;
}

Child::Child(Child&& other) noexcept
    : name_(std::move(other.name_)), pid_(std::exchange(other.pid_, -1)), ending_(other.ending_) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(pid_, other.pid_);
  std::swap(ending_, other.ending_);
  return *this;
}

Child::~Child() {
  if (pid_ > 0 && !ending()) wait_or_kill(std::chrono::milliseconds(0));
}

const std::optional<Ending>& Child::ending() {
  int status = 0;
  if (!ending_ && ::waitpid(pid_, &status, WNOHANG) == pid_) {
    ending_ = WIFSIGNALED(status) ? Ending{0, WTERMSIG(status)} : Ending{WEXITSTATUS(status), 0};
  }
  return ending_;
}

void Child::signal(int number) {
  if (!ending()) ::kill(pid_, number);
}

bool Child::wait_or_kill(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!ending() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(kStep);
  if (ending()) return true;
  signal(SIGKILL);
  while (!ending()) std::this_thread::sleep_for(kStep);  // SIGKILL cannot be refused
  return false;
}

std::string last_lines(const std::filesystem::path& log, unsigned lines) {
  std::ifstream in(log, std::ios::binary | std::ios::ate);
  if (!in) return {};
  const std::streamoff size = in.tellg();
  const std::streamoff from = size > kMostLog ? size - kMostLog : 0;
  in.seekg(from);
  std::string text(static_cast<std::size_t>(size - from), '\0');
  in.read(text.data(), size - from);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::size_t at = text.size();
  for (unsigned n = 0; n < lines && at != text.npos && at != 0; ++n) at = text.rfind('\n', at - 1);
  return at == text.npos || at == 0 ? text : text.substr(at + 1);
}

}  // namespace vigia::orch
