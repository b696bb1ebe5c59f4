// SPDX-License-Identifier: Apache-2.0
#include "process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

namespace vigia::system_test {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

fs::path scratch(const char* what) {
  std::string pattern = (fs::temp_directory_path() / (std::string("vigia-") + what + "-XXXXXX")).string();
  ::close(::mkstemp(pattern.data()));
  return pattern;
}

}  // namespace

fs::path program(const std::string& name) {
  const char* bin = std::getenv("VIGIA_BIN");
  return fs::path(bin ? bin : VIGIA_BUILD_BIN) / name;
}

fs::path data_folder() {
  const char* data = std::getenv("VIGIA_DATA");
  return data ? fs::path(data) : fs::path(VIGIA_SOURCE) / "../shared/data";
}

Process::Process(const std::vector<std::string>& argv) : out_(scratch("out")), err_(scratch("err")) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::dup2(::open(out_.c_str(), O_WRONLY | O_TRUNC), STDOUT_FILENO);
  ::dup2(::open(err_.c_str(), O_WRONLY | O_TRUNC), STDERR_FILENO);
  ::execvp(words[0], words.data());
  ::_exit(127);
}

Process::~Process() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  fs::remove(out_, ignored);
  fs::remove(err_, ignored);
}

void Process::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

Finished Process::wait(std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  Finished result;
  int status = 0;
  pid_t got = 0;
  while ((got = ::waitpid(pid_, &status, WNOHANG)) == 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  if (got == pid_) {
    result.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    pid_ = -1;
  } else {
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  result.out = read_file(out_);
  result.err = read_file(err_);
  return result;
}

Finished run(const std::vector<std::string>& argv) { return Process(argv).wait(); }

std::vector<std::string> processes_with(const std::string& text) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (name == std::to_string(::getpid())) continue;
    std::string line = read_file(entry.path() / "cmdline");
    std::replace(line.begin(), line.end(), '\0', ' ');
    if (line.find(text) != line.npos) found.push_back(line);
  }
  return found;
}

}  // namespace vigia::system_test
