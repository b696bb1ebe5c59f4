// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/yaml_fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "hw/values.h"

namespace vigia::pf::yaml {

struct Tree {
  std::string file;
  std::vector<YAML::Node> nodes;
  std::map<std::string, int, std::less<>> lines;  // path -> line, from 1
  struct Fault {
    int line;
    std::string path, text;
  };
  std::vector<Fault> faults;

  std::size_t add(const YAML::Node& node, const std::string& path, const YAML::Mark& mark) {
    nodes.push_back(node);
    lines.insert_or_assign(path, mark.line + 1);
    return nodes.size() - 1;
  }

  int line_of(std::string_view path) const {
    for (;;) {
      if (const auto at = lines.find(path); at != lines.end()) return at->second;
      const auto cut = path.find_last_of(".[");
      if (cut == std::string_view::npos) return 1;
      path = path.substr(0, cut);
    }
  }

  void report(std::string_view path, std::string_view text) {
    faults.push_back({line_of(path), std::string(path), std::string(text)});
  }
};

namespace {

constexpr std::size_t kLargestText = 1u << 20;  // far beyond any hand-written file; bounds the parser's work

std::string join(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

template <class T>
std::optional<T> number_from(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Map::Map(std::shared_ptr<Tree> tree, std::size_t node, std::string path)
    : tree_(std::move(tree)),
      node_(node),
      path_(std::move(path)),
      asked_(std::make_shared<std::vector<std::string>>()) {
  const YAML::Node& map = tree_->nodes[node_];
  if (!map.IsMap()) return;
  std::vector<std::string> seen;
  for (const auto& entry : map) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : std::string("?");
    const std::string key_path = join(path_, key);
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) {
      tree_->faults.push_back({entry.first.Mark().line + 1, key_path, "the key is there twice; keep one"});
      continue;
    }
    seen.push_back(key);
    tree_->lines.insert_or_assign(key_path, entry.first.Mark().line + 1);
  }
}

std::string Map::path_of(std::string_view key) const { return join(path_, key); }

// Index of the key's value among the tree's nodes.
std::optional<std::size_t> Map::find(std::string_view key) {
  if (std::find(asked_->begin(), asked_->end(), key) == asked_->end()) asked_->emplace_back(key);
  const YAML::Node map = tree_->nodes[node_];
  if (!map.IsMap()) return std::nullopt;
  for (const auto& entry : map) {
    if (entry.first.IsScalar() && entry.first.Scalar() == key) {
      return tree_->add(entry.second, path_of(key), entry.first.Mark());
    }
  }
  return std::nullopt;
}

bool Map::has(std::string_view key) { return find(key).has_value(); }

std::optional<Map::Scalar> Map::scalar(std::string_view key) {
  const auto at = find(key);
  if (!at) return std::nullopt;
  const YAML::Node& value = tree_->nodes[*at];
  if (!value.IsScalar()) {
    tree_->report(path_of(key), value.IsNull() ? "has no value" : "must be one value, not a list or a mapping");
    return std::nullopt;
  }
  return Scalar{path_of(key), value.Scalar()};
}

std::optional<std::vector<Map::Scalar>> Map::scalars(std::string_view key) {
  const auto at = find(key);
  if (!at) return std::nullopt;
  const YAML::Node list = tree_->nodes[*at];
  if (!list.IsSequence()) {
    tree_->report(path_of(key), "must be a list, as in [a, b]");
    return std::nullopt;
  }
  std::vector<Scalar> out;
  bool good = true;
  for (const auto& item : list) {
    const std::string path = fmt::format("{}[{}]", path_of(key), out.size());
    tree_->lines.insert_or_assign(path, item.Mark().line + 1);
    if (!item.IsScalar()) {
      tree_->report(path, "must be one value");
      good = false;
    }
    out.push_back({path, item.IsScalar() ? item.Scalar() : std::string()});
  }
  if (!good) return std::nullopt;
  return out;
}

std::optional<std::uint64_t> Map::to_integer(const Scalar& scalar, std::uint64_t least, std::uint64_t most) {
  const auto value = number_from<std::uint64_t>(scalar.text);
  if (value && *value >= least && *value <= most) return value;
  tree_->report(scalar.path, fmt::format("{} is not a whole number from {} to {}", scalar.text, least, most));
  return std::nullopt;
}

std::optional<std::uint64_t> Map::integer(std::string_view key, std::uint64_t least, std::uint64_t most) {
  const auto value = scalar(key);
  return value ? to_integer(*value, least, most) : std::nullopt;
}

std::optional<double> Map::number(std::string_view key, double least, double most) {
  const auto given = scalar(key);
  if (!given) return std::nullopt;
  const auto value = number_from<double>(given->text);
  if (value && *value >= least && *value <= most) return value;
  tree_->report(given->path, fmt::format("{} is not a number from {} to {}", given->text, least, most));
  return std::nullopt;
}

std::optional<bool> Map::boolean(std::string_view key) {
  const auto given = scalar(key);
  if (!given) return std::nullopt;
  if (given->text == "true") return true;
  if (given->text == "false") return false;
  tree_->report(given->path, fmt::format("{} is neither true nor false", given->text));
  return std::nullopt;
}

std::optional<std::string> Map::text(std::string_view key) {
  auto given = scalar(key);
  if (!given) return std::nullopt;
  return std::move(given->text);
}

std::optional<std::size_t> Map::choice(std::string_view key, std::span<const std::string_view> words) {
  const auto given = scalar(key);
  if (!given) return std::nullopt;
  const auto at = std::find(words.begin(), words.end(), given->text);
  if (at != words.end()) return static_cast<std::size_t>(at - words.begin());
  tree_->report(given->path, fmt::format("{} is none of: {}", given->text, fmt::join(words, ", ")));
  return std::nullopt;
}

std::optional<hw::Mac> Map::mac(std::string_view key) {
  const auto given = scalar(key);
  if (!given) return std::nullopt;
  const auto value = hw::Mac::parse(given->text);
  if (!value) tree_->report(given->path, fmt::format("{} is no MAC address, as \"02:00:00:00:00:01\" is", given->text));
  return value;
}

std::optional<std::uint64_t> Map::size(std::string_view key, std::uint64_t least, std::uint64_t most) {
  const auto given = scalar(key);
  if (!given) return std::nullopt;
  const auto value = hw::parse_size(given->text);
  if (value && *value >= least && *value <= most) return *value;
  tree_->report(given->path, fmt::format("{} is not a size from {} to {}, as \"256M\" is", given->text,
                                         hw::size_word(least), hw::size_word(most)));
  return std::nullopt;
}

std::optional<std::chrono::milliseconds> Map::duration(std::string_view key) {
  const auto given = scalar(key);
  if (!given) return std::nullopt;
  const auto value = hw::parse_duration(given->text);
  if (value) return *value;
  tree_->report(given->path, value.error().text);
  return std::nullopt;
}

std::optional<std::vector<std::uint64_t>> Map::integers(std::string_view key, std::uint64_t least, std::uint64_t most) {
  const auto given = scalars(key);
  if (!given) return std::nullopt;
  std::vector<std::uint64_t> out;
  for (const Scalar& item : *given) {
    if (const auto value = to_integer(item, least, most)) out.push_back(*value);
  }
  if (out.size() != given->size()) return std::nullopt;
  return out;
}

std::optional<std::vector<std::string>> Map::texts(std::string_view key) {
  auto given = scalars(key);
  if (!given) return std::nullopt;
  std::vector<std::string> out;
  for (Scalar& item : *given) out.push_back(std::move(item.text));
  return out;
}

std::optional<Map> Map::map(std::string_view key) {
  const auto at = find(key);
  if (!at) return std::nullopt;
  if (!tree_->nodes[*at].IsMap()) {
    tree_->report(path_of(key), "must be a mapping of keys to values");
    return std::nullopt;
  }
  return Map(tree_, *at, path_of(key));
}

std::optional<std::vector<Map>> Map::maps(std::string_view key) {
  const auto at = find(key);
  if (!at || tree_->nodes[*at].IsNull()) return std::nullopt;
  const YAML::Node list = tree_->nodes[*at];
  if (!list.IsSequence()) {
    tree_->report(path_of(key), "must be a list of mappings, each begun with \"- \"");
    return std::nullopt;
  }
  std::vector<Map> out;
  std::size_t i = 0;
  for (const auto& item : list) {
    const std::string path = fmt::format("{}[{}]", path_of(key), i++);
    const std::size_t node = tree_->add(item, path, item.Mark());
    if (!item.IsMap()) tree_->report(path, "must be a mapping of keys to values");
    out.push_back(Map(tree_, node, path));
  }
  return out;
}

void Map::require(std::string_view key, std::string_view form) {
  if (!has(key) && tree_->nodes[node_].IsMap()) {
    tree_->report(path_of(key), fmt::format("is missing; it is {}", form));
  }
}

void Map::finish() {
  const YAML::Node map = tree_->nodes[node_];
  if (!map.IsMap()) return;
  for (const auto& entry : map) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : std::string("?");
    if (std::find(asked_->begin(), asked_->end(), key) != asked_->end()) continue;
    const std::string_view near = nearest(key, *asked_);
    const std::string advice =
        near.empty() ? fmt::format("known here: {}", fmt::join(*asked_, ", ")) : fmt::format("did you mean {}?", near);
    tree_->faults.push_back({entry.first.Mark().line + 1, path_of(key), fmt::format("unknown key; {}", advice)});
  }
}

Result<Document> Document::parse(std::string_view text, std::string_view file) {
  if (text.size() > kLargestText) return input_error(fmt::format("{}: larger than 1 MiB, refused", file));
  auto tree = std::make_shared<Tree>();
  tree->file = file;
  try {
    tree->nodes.push_back(YAML::Load(std::string(text)));
  } catch (const YAML::Exception& error) {
    return input_error(fmt::format("{}:{}: not YAML: {}", file, error.mark.line + 1, error.msg));
  }
  return Document(std::move(tree));
}

Result<Document> Document::load(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return input_error(fmt::format("{}: cannot be read; check the path and its permissions", file.string()));
  std::string text(kLargestText + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return input_error(fmt::format("{}: cannot be read; is it a folder?", file.string()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return parse(text, file.string());
}

Map Document::root() {
  if (!tree_->nodes[0].IsMap()) {
    tree_->report("", tree_->nodes[0].IsNull() ? "the file is empty" : "the file must be a mapping of keys to values");
  }
  return Map(tree_, 0, "");
}

void Document::report(std::string_view path, std::string_view text) { tree_->report(path, text); }

bool Document::good() const { return tree_->faults.empty(); }

std::vector<std::string> Document::faults() const {
  std::vector<Tree::Fault> sorted = tree_->faults;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.line < b.line; });
  std::vector<std::string> out;
  for (const Tree::Fault& fault : sorted) {
    out.push_back(
        fmt::format("{}:{}: {}{}{}", tree_->file, fault.line, fault.path, fault.path.empty() ? "" : ": ", fault.text));
  }
  return out;
}

Result<Done> Document::verdict() const {
  if (good()) return Done{};
  return input_error(fmt::format("{}", fmt::join(faults(), "\n")));
}

}  // namespace vigia::pf::yaml
