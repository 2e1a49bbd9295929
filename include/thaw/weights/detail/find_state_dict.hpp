#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <thaw/core/names.hpp>
#include <thaw/weights/detail/pickle.hpp>
#include <thaw/weights/detail/tensor_spec.hpp>
#include <thaw/weights/detail/utf8.hpp>
#include <thaw/weights/state_dict.hpp>
#include <unordered_set>
#include <utility>
#include <vector>

namespace thaw::detail {

/// A dict inside a file that holds tensors, and the path of keys to it ("." is the top level).
struct Candidate {
  std::string path;
  const Node* dict;
};

/// Keys and names longer than this are no names (and would overflow std::regex's stack).
inline constexpr std::size_t longest_name = 1024;

inline bool holds_tensors(const Pickle& pickle, const Node& dict) {
  for (std::size_t i = 1; i < dict.items.size(); i += 2) {
    if (SpecReader::describes_tensor(pickle.node(dict.items[i]))) return true;
  }
  return false;
}

/// The dicts in a file that hold tensors, outer ones first, down to three keys deep. Looks at 10,000 dicts: keys that a
/// pickle remembers take two bytes in the file, but a path of its own for each dict.
inline std::vector<Candidate> candidates(const Pickle& pickle) {
  constexpr std::size_t depth = 3, most = 100, most_seen = 10'000;
  std::vector<Candidate> found, level, next;
  std::unordered_set<const Node*> seen;
  if (const Node* root = pickle.node(pickle.root, Node::Kind::dict)) {
    level.push_back({".", root});
    seen.insert(root);
  }
  for (std::size_t i = 0; i <= depth && found.size() < most; ++i, level = std::exchange(next, {})) {
    for (const auto& [path, dict] : level) {
      if (holds_tensors(pickle, *dict)) found.push_back({path, dict});
      for (std::size_t item = 0; item + 1 < dict->items.size(); item += 2) {
        const auto* key = std::get_if<std::string_view>(&dict->items[item]);
        const Node* inner = pickle.node(dict->items[item + 1], Node::Kind::dict);
        if (key == nullptr || key->size() > longest_name || inner == nullptr || seen.size() == most_seen) continue;
        if (!is_utf8(*key) || !seen.insert(inner).second) continue;
        next.push_back({path == "." ? std::string(*key) : fmt::format("{}.{}", path, *key), inner});
      }
    }
  }
  return found;
}

/// The one meant by `key`; without one, the only one, or the only one that has a customary name.
inline const Node* choose(const Source& source, const std::vector<Candidate>& found, const std::string& key) {
  constexpr std::array<std::string_view, 4> customary = {"state_dict", "model", "model_state_dict", "net"};
  std::vector<std::string> paths;
  std::vector<const Node*> chosen, usual;
  for (const auto& [path, dict] : found) {
    paths.push_back(path);
    if (key.empty() || path == key) chosen.push_back(dict);
    if (std::ranges::find(customary, path) != customary.end()) usual.push_back(dict);
  }
  if (found.empty()) {
    throw FileError(source.name, "holds no dict of named tensors",
                    "save the tensors by name in Python: torch.save(model.state_dict(), path)");
  }
  if (chosen.empty()) {
    throw FileError(source.name, fmt::format("holds no dict of tensors under the key '{}'", key),
                    fmt::format("give one of its keys: {}", join_names(paths)));
  }
  if (chosen.size() == 1) return chosen[0];
  if (usual.size() == 1) return usual[0];
  throw FileError(source.name, fmt::format("holds {} dicts of tensors: {}", paths.size(), join_names(paths)),
                  fmt::format("say which: .key = \"{}\"", paths[0]));
}

/// A tensor as the pickle describes it, and its name.
using NamedNode = std::pair<std::string, const Node*>;

/// The name of a tensor, if it can be one.
[[nodiscard]] inline std::string_view tensor_name(const Source& source, const Value& key) {
  const auto* name = std::get_if<std::string_view>(&key);
  if (name == nullptr || name->size() > longest_name) throw source.damaged("a tensor's name is no text, or too long");
  if (!is_utf8(*name)) throw source.damaged("a tensor's name is no UTF-8");
  return *name;
}

[[nodiscard]] inline FileError there_twice(const Source& source, std::string_view name) {
  return source.damaged(fmt::format("tensor '{}' is there twice", name));
}

/// The tensors of the chosen dict. What is no tensor is left out.
[[nodiscard]] inline std::vector<NamedNode> dict_tensors(const Source& source, const Pickle& pickle,
                                                         const std::string& key) {
  const Node* dict = choose(source, candidates(pickle), key);
  std::vector<NamedNode> found;
  std::unordered_set<std::string_view> names;  // each once: so they take no more than in the file
  for (std::size_t i = 0; i + 1 < dict->items.size(); i += 2) {
    const Node* value = pickle.node(dict->items[i + 1]);
    if (!SpecReader::describes_tensor(value)) continue;
    const std::string_view name = tensor_name(source, dict->items[i]);
    if (!names.insert(name).second) throw there_twice(source, name);
    found.emplace_back(name, value);
  }
  return found;
}

/// Makes the tensors; `storage_of(StorageRef)` brings their bytes.
template <class StorageOf>
StateDict read_state_dict(const Source& source, const Pickle& pickle, const std::vector<NamedNode>& found,
                          StorageOf storage_of) {
  const SpecReader reader(source, pickle);
  StateDict state;
  for (const auto& [name, node] : found) {
    if (state.contains(name)) throw there_twice(source, name);
    const TensorSpec spec = reader.tensor(node);
    state.insert(name, make_tensor(source, spec, storage_of(spec.storage)));
  }
  return state;
}

}  // namespace thaw::detail
