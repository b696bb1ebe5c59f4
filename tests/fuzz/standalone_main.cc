// SPDX-License-Identifier: Apache-2.0
// Drives a fuzzer without libFuzzer: mutates seeds at random for the time given. The sequence of inputs depends on
// --seed alone, so a crash at execution N comes again with the same seed; its input is also left in crash-N.bin.
//   fuzz_X [--seconds N] [--seed S] [--runs N] [FILE...]     FILE: inputs to start from, each run once as it is
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
// A fuzzer may define inputs that reach deep; without one only general ones are used.
std::vector<std::vector<std::uint8_t>> fuzz_seeds() __attribute__((weak));
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

using Input = std::vector<std::uint8_t>;

constexpr std::size_t kLargest = 4096;  // bytes; as libFuzzer without a corpus

// What the crash handler writes down.
const Input* current = nullptr;
std::uint64_t executions = 0;

void leave_input() {
  if (current == nullptr) return;
  char name[64];
  std::snprintf(name, sizeof name, "crash-%llu.bin", static_cast<unsigned long long>(executions));
  const int fd = ::open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  [[maybe_unused]] const auto written = ::write(fd, current->data(), current->size());
  ::close(fd);
  std::fprintf(stderr, "fuzz: execution %llu failed; its input is in %s\n", static_cast<unsigned long long>(executions),
               name);
  current = nullptr;
}

void on_abort(int number) {
  leave_input();
  ::signal(number, SIG_DFL);
  ::raise(number);
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, std::vector<Input> corpus) : random_(seed), corpus_(std::move(corpus)) {}

  Input next() {
    Input input = corpus_[below(corpus_.size())];
    for (std::size_t i = 0, n = 1 + below(8); i < n; ++i) mutate(input);
    if (input.size() > kLargest) input.resize(kLargest);
    return input;
  }

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  std::uint8_t byte() { return static_cast<std::uint8_t>(random_()); }
  auto place(Input& input) { return input.begin() + static_cast<std::ptrdiff_t>(below(input.size() + 1)); }

  // A number that parsers like to get wrong, or a random one, of 1, 2, 4 or 8 bytes over what is there.
  void overwrite_number(Input& input) {
    static constexpr std::uint64_t kNumbers[] = {0,          1,          2,      4,           8,           16,
                                                 32,         0x7f,       0x80,   0xff,        0x100,       4096,
                                                 0x7fff,     0x8000,     0xffff, 0x7fffffff,  0x80000000u, 0xffffffffu,
                                                 1ull << 32, 1ull << 63, ~0ull,  ~0ull - 4095};
    const std::size_t size = std::size_t{1} << below(4);
    if (input.size() < size) return;
    const std::uint64_t value = below(3) == 0 ? random_() : kNumbers[below(std::size(kNumbers))];
    const std::size_t at = below(input.size() - size + 1);
    for (std::size_t i = 0; i < size; ++i) input[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
  }

  void mutate(Input& input) {
    switch (below(8)) {
      case 0:
        if (!input.empty()) input[below(input.size())] ^= static_cast<std::uint8_t>(1u << below(8));
        break;
      case 1:
        if (!input.empty()) input[below(input.size())] = byte();
        break;
      case 2:
      case 3:
        overwrite_number(input);
        break;
      case 4: {
        Input fresh(1 + below(32));
        for (auto& b : fresh) b = byte();
        input.insert(place(input), fresh.begin(), fresh.end());
        break;
      }
      case 5:
        if (!input.empty()) {
          const std::size_t from = below(input.size()), n = 1 + below(input.size() - from);
          input.erase(input.begin() + static_cast<std::ptrdiff_t>(from),
                      input.begin() + static_cast<std::ptrdiff_t>(from + n));
        }
        break;
      case 6: {  // a piece of some seed, perhaps of this one
        const Input& other = corpus_[below(corpus_.size())];
        if (other.empty()) break;
        const std::size_t from = below(other.size()), n = 1 + below(other.size() - from);
        const Input piece(other.begin() + static_cast<std::ptrdiff_t>(from),
                          other.begin() + static_cast<std::ptrdiff_t>(from + n));
        input.insert(place(input), piece.begin(), piece.end());
        break;
      }
      default:
        input.resize(below(input.size() + 1));
    }
  }

  std::mt19937_64 random_;
  std::vector<Input> corpus_;
};

std::uint64_t number(const char* text, const char* option) {
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text == nullptr ? "" : text, &end, 10);
  if (text == nullptr || *text == '\0' || *end != '\0') {
    std::fprintf(stderr, "fuzz: %s wants a number\n", option);
    std::exit(2);
  }
  return value;
}

void run(const Input& input) {
  ++executions;
  current = &input;
  (void)LLVMFuzzerTestOneInput(input.data(), input.size());
  current = nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  std::uint64_t seconds = 2, seed = 1, runs = ~0ull;
  std::vector<Input> corpus{{}, Input(64, 0), Input(64, 0xff)};
  if (fuzz_seeds != nullptr) {
    for (Input& input : fuzz_seeds()) corpus.push_back(std::move(input));
  }
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--seconds") {
      seconds = number(argv[++i], "--seconds");
    } else if (argument == "--seed") {
      seed = number(argv[++i], "--seed");
    } else if (argument == "--runs") {
      runs = number(argv[++i], "--runs");
    } else {
      std::ifstream file(argv[i], std::ios::binary);
      if (!file) {
        std::fprintf(stderr, "fuzz: cannot open %s\n", argv[i]);
        return 2;
      }
      corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  }
  ::signal(SIGABRT, on_abort);
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(leave_input);
  } else {
    ::signal(SIGSEGV, on_abort);
  }
  const auto until = Clock::now() + std::chrono::seconds(seconds);
  for (const Input& input : corpus) run(input);
  Mutator mutator(seed, std::move(corpus));
  while (executions < runs && Clock::now() < until) run(mutator.next());
  std::printf("fuzz: %llu executions, seed %llu\n", static_cast<unsigned long long>(executions),
              static_cast<unsigned long long>(seed));
  return 0;
}
