// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/dpdk/testpmd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

namespace vigia::pf {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::string_view kPrompt = "testpmd> ";
constexpr std::chrono::seconds kQuitLimit{10};

std::string last_lines(const std::string& text) {
  constexpr std::size_t kMost = 600;
  return text.size() <= kMost ? text : "..." + text.substr(text.size() - kMost);
}

// In the child, where only calls that are safe after fork() are allowed.
[[noreturn]] void become(char* const* argv, int in, int out, pid_t parent) {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() == parent && ::setpgid(0, 0) == 0 && ::dup2(in, 0) == 0 && ::dup2(out, 1) == 1 &&
      ::dup2(out, 2) == 2) {
    ::execvp(argv[0], argv);
  }
  constexpr std::string_view kFailed = "cannot be started; is the package dpdk-dev installed?\n";
  [[maybe_unused]] const auto n = ::write(out, kFailed.data(), kFailed.size());
  ::_exit(127);
}

}  // namespace

Result<std::unique_ptr<Testpmd>> Testpmd::start(const std::vector<std::string>& argv, std::chrono::milliseconds limit) {
  std::array<int, 2> in{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0) return os_error("open a pipe");
  Fd in_read(in[0]), in_write(in[1]);
  // A terminal, for what testpmd prints into a pipe it keeps to itself until 4 KiB of it have come together.
  Fd out_read(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  std::array<char, 64> name{};
  if (!out_read || ::grantpt(out_read.get()) != 0 || ::unlockpt(out_read.get()) != 0 ||
      ::ptsname_r(out_read.get(), name.data(), name.size()) != 0) {
    return os_error("open a terminal for " + argv.front());
  }
  Fd out_write(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!out_write) return os_error("open a terminal for " + argv.front());
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t parent = ::getpid(), pid = ::fork();
  if (pid < 0) return os_error("start " + argv.front());
  if (pid == 0) become(words.data(), in_read.get(), out_write.get(), parent);
  std::unique_ptr<Testpmd> child(new Testpmd(pid, std::move(in_write), std::move(out_read)));
  in_read = Fd();
  out_write = Fd();
  if (auto ready = child->read_to_prompt(limit); !ready) {
    return Error{ready.error().code, fmt::format("start {}: {}", argv.front(), ready.error().text)};
  }
  return child;
}

bool Testpmd::running() {
  if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
  return pid_ > 0;
}

bool Testpmd::send(const std::string& line) {
  // vigia-pf ignores SIGPIPE nowhere else, so the child is asked first; a death in between ends in an EOF.
  struct sigaction ignore {};
  struct sigaction before {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &before);
  const bool sent = ::write(in_.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size());
  ::sigaction(SIGPIPE, &before, nullptr);
  return sent;
}

Result<std::string> Testpmd::read_to_prompt(std::chrono::milliseconds limit) {
  const auto until = Clock::now() + limit;
  std::string text;
  for (;;) {
    if (const auto at = text.rfind(kPrompt); at != std::string::npos && at + kPrompt.size() == text.size()) {
      return text.substr(0, at);
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd wait{out_.get(), POLLIN, 0};
    if (left <= 0 || ::poll(&wait, 1, static_cast<int>(left)) == 0) {
      return Error{std::errc::timed_out,
                   fmt::format("no prompt within {} ms; it said: {}", limit.count(), last_lines(text))};
    }
    std::array<char, 4096> buffer;
    const ssize_t got = ::read(out_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    // A terminal that nobody writes to any more gives EIO.
    if (got <= 0) return work_error("it ended; it said: " + last_lines(text));
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

Result<std::string> Testpmd::ask(const std::string& command, std::chrono::milliseconds limit) {
  if (!running() || !send(command + "\n")) return work_error(fmt::format("testpmd: {}: it has ended", command));
  auto answer = read_to_prompt(limit);
  if (!answer) return Error{answer.error().code, fmt::format("testpmd: {}: {}", command, answer.error().text)};
  // Its terminal echoes the command.
  const auto echo = answer->find(command);
  if (echo != std::string::npos) answer->erase(0, echo + command.size());
  while (!answer->empty() && (answer->front() == '\n' || answer->front() == '\r')) answer->erase(0, 1);
  return answer;
}

Testpmd::~Testpmd() {
  if (!running()) return;
  (void)send("quit\n");
  const auto until = Clock::now() + kQuitLimit;
  std::array<char, 4096> buffer;
  while (running() && Clock::now() < until) {
    pollfd wait{out_.get(), POLLIN, 0};
    if (::poll(&wait, 1, 50) > 0 && ::read(out_.get(), buffer.data(), buffer.size()) <= 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  if (!running()) return;
  ::kill(pid_, SIGKILL);
  (void)::waitpid(pid_, nullptr, 0);
}

}  // namespace vigia::pf
