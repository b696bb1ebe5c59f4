// SPDX-License-Identifier: Apache-2.0
// Reading YAML that people wrote: typed getters with ranges, every fault listed as "file:line: key: what, what to do",
// unknown keys refused. Nothing here knows a schema; yaml_options.h adds the one table that a schema is.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hw/mac.h"
#include "hw/result.h"
#include "hw/spelling.h"

namespace vigia::pf::yaml {

struct Tree;  // the parsed text and the faults found so far

// One mapping of the document. Cheap to copy; valid as long as its Document. A getter returns nullopt when the key is
// absent and also when its value is wrong; the latter is on the document's list by then. Keys are remembered when asked
// for, so finish() knows which keys nobody wanted.
class Map {
 public:
  const std::string& path() const { return path_; }  // "pf.vf[1]"; "" at the root
  std::string path_of(std::string_view key) const;
  bool has(std::string_view key);

  std::optional<std::uint64_t> integer(std::string_view key, std::uint64_t least, std::uint64_t most);
  std::optional<double> number(std::string_view key, double least, double most);
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::string> text(std::string_view key);
  // The index of the word in words.
  std::optional<std::size_t> choice(std::string_view key, std::span<const std::string_view> words);
  std::optional<hw::Mac> mac(std::string_view key);
  // Bytes, written as "256M"; least and most are bytes.
  std::optional<std::uint64_t> size(std::string_view key, std::uint64_t least, std::uint64_t most);
  // Written as "10m".
  std::optional<std::chrono::milliseconds> duration(std::string_view key);
  std::optional<std::vector<std::uint64_t>> integers(std::string_view key, std::uint64_t least, std::uint64_t most);
  std::optional<std::vector<std::string>> texts(std::string_view key);
  std::optional<Map> map(std::string_view key);
  std::optional<std::vector<Map>> maps(std::string_view key);

  // A fault when the key is absent.
  void require(std::string_view key, std::string_view form);
  // A fault for each key of the mapping that no getter asked for, with the nearest key that one did ask for.
  void finish();

 private:
  friend class Document;
  Map(std::shared_ptr<Tree> tree, std::size_t node, std::string path);

  struct Scalar {
    std::string path, text;
  };
  std::optional<Scalar> scalar(std::string_view key);
  std::optional<std::vector<Scalar>> scalars(std::string_view key);
  std::optional<std::size_t> find(std::string_view key);
  std::optional<std::uint64_t> to_integer(const Scalar& scalar, std::uint64_t least, std::uint64_t most);

  std::shared_ptr<Tree> tree_;
  std::size_t node_;
  std::string path_;
  std::shared_ptr<std::vector<std::string>> asked_;
};

class Document {
 public:
  // Text that is no YAML is an input error that names file and line. Texts over 1 MiB are refused.
  static Result<Document> parse(std::string_view text, std::string_view file);
  static Result<Document> load(const std::filesystem::path& file);

  // The top mapping; empty, with a fault on the list, when the document is something else.
  Map root();

  // Adds a fault at the line of path ("pf.vf[1].mac"), or of the nearest part of it that the document has.
  void report(std::string_view path, std::string_view text);
  bool good() const;
  // "file:line: key: text", by line. One fault each.
  std::vector<std::string> faults() const;
  // Done, or an input error that holds every fault, one a line.
  Result<Done> verdict() const;

 private:
  explicit Document(std::shared_ptr<Tree> tree) : tree_(std::move(tree)) {}
  std::shared_ptr<Tree> tree_;
};

using hw::nearest;

}  // namespace vigia::pf::yaml
