// SPDX-License-Identifier: Apache-2.0
// Errors as values. Below the command line every function that can fail returns a Result; exceptions and check() are
// for our own broken invariants only. An error says what was tried, on what, what came back, what to do.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>

namespace vigia {

struct Error {
  std::errc code;  // invalid_argument means the input is wrong; anything else means that the work failed
  std::string
      text;  // action, object, cause, remedy: "open /run/x/pf.sock: No such file or directory; is vigia-softnic up?"

  // What a program ends with: 2 for bad input, 1 for failed work.
  int exit_status() const { return code == std::errc::invalid_argument ? 2 : 1; }
};

struct [[nodiscard]] Done {};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const noexcept { return state_.index() == 0; }
  T& value() { return std::get<0>(state_); }
  const T& value() const { return std::get<0>(state_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

// An error of the input: file, flag, key. Ends a program with status 2.
inline Error input_error(std::string text) { return {std::errc::invalid_argument, std::move(text)}; }

// An error of the work, without an errno behind it. Ends a program with status 1.
inline Error work_error(std::string text) { return {std::errc::io_error, std::move(text)}; }

// The last system call's error: "WHAT: No such file or directory". Never becomes exit status 2 by accident of EINVAL.
Error os_error(std::string what);
Error os_error(std::string what, int error_number);

// For our own broken invariants only; stays on in release builds.
inline void check(bool ok, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (!ok) [[unlikely]] {
    std::fprintf(stderr, "%s:%d: invariant broken\n", file, line);
    std::abort();
  }
}

// Polls until ready() is true. Every wait in this project has a deadline and a sentence for the operator.
template <std::predicate Ready>
Result<Done> wait_until(std::string_view what, std::chrono::milliseconds limit, Ready ready,
                        std::chrono::microseconds step = std::chrono::microseconds(100)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!ready()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return Error{std::errc::timed_out,
                   std::string(what) + ": not seen within " + std::to_string(limit.count()) + " ms"};
    }
    std::this_thread::sleep_for(step);
  }
  return Done{};
}

}  // namespace vigia
