// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/expiry.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "orchestrator/process_id.h"
#include "orchestrator/vm_catalog.h"
#include "orchestrator/vm_down.h"

namespace vigia::orch {
namespace {

// A process that outlives us, in a session of its own, with nothing open but /dev/null.
Result<pid_t> spawn_detached(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));  // exec's old type; it copies
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
  }
  ::posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  pid_t pid = -1;
  const int failed = ::posix_spawn(&pid, argv[0], &files, &attributes, argv.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  if (failed != 0) return os_error("start " + words[0], failed);
  return pid;
}

}  // namespace

Result<Done> start_timer(LibvirtHost& host, const std::string& vm, std::int64_t until) {
  auto found = find_vm(host, vm);
  if (!found) return found.error();
  found->metadata.until = until;
  if (auto noted = host.set_metadata(vm, metadata_xml(found->metadata)); !noted) return noted.error();
  const auto pid = spawn_detached({"/proc/self/exe", "expire", vm, "--uri", host.uri()});
  if (!pid) return pid.error();
  const auto timer = ProcessId::of(*pid);
  if (!timer) return work_error("the process that waits for the VM's end has ended at once");
  found->metadata.undo.push_back(std::string(kUndoProcess) + timer->text());
  return host.set_metadata(vm, metadata_xml(found->metadata));
}

Result<Done> wait_and_end(const std::string& uri, const std::string& vm, const LifeHooks& hooks) {
  using std::chrono::system_clock;
  for (;;) {
    auto host = LibvirtHost::open(uri);
    if (!host) return host.error();
    const auto catalog = read_catalog(*host);
    if (!catalog) return catalog.error();
    const Vm* found = catalog->find(vm);
    if (found == nullptr || found->metadata.until == 0) return Done{};
    const auto end = system_clock::time_point(std::chrono::seconds(found->metadata.until));
    if (system_clock::now() >= end) {
      const auto done = take_down(*host, *found, hooks);
      return done ? Result<Done>(Done{}) : Result<Done>(done.error());
    }
    // A changed clock or end is noticed within the minute.
    std::this_thread::sleep_for(std::min<system_clock::duration>(end - system_clock::now(), std::chrono::minutes(1)));
  }
}

}  // namespace vigia::orch
