// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <thaw/core/names.hpp>
#include <thaw/core/utf8.hpp>
#include <thaw/weights/detail/find_objects.hpp>
#include <thaw/weights/detail/pickle_value.hpp>
#include <thaw/weights/detail/tensor_spec.hpp>
#include <thaw/weights/passed_over.hpp>
#include <thaw/weights/state_dict.hpp>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace thaw::detail {

/// A dict inside a file that holds tensors, and the path of keys to it ("." is the top level).
struct Candidate {
  std::string path;
  const Node* dict;
};

/// The names under which people keep the weights of a checkpoint.
inline constexpr std::array<std::string_view, 4> customary_keys = {"state_dict", "model", "model_state_dict", "net"};

inline bool holds_tensors(const Pickle& pickle, const Node& dict) {
  for (std::size_t i = 1; i < dict.items.size(); i += 2) {
    if (SpecReader::form(pickle, pickle.node(dict.items[i])).kind == TensorKind::plain) return true;
  }
  return false;
}

/// The dicts in a file that hold tensors, outer ones first, down to three keys deep; one that stands under several keys
/// is there under each. Looks at 10,000 dicts: keys that a pickle remembers take two bytes in the file, but a path of
/// its own for each dict.
inline std::vector<Candidate> candidates(const Pickle& pickle) {
  constexpr std::size_t depth = 3, most = 100, most_seen = 10'000;
  std::vector<Candidate> found, level, next;
  std::unordered_map<const Node*, bool> seen;  // and whether it holds tensors
  std::size_t count = 0;
  const auto add = [&](std::string path, const Value& value) {
    const Node* dict = pickle.node(value, Node::Kind::dict);
    if (dict != nullptr && ++count <= most_seen) next.push_back({std::move(path), dict});
  };
  add(".", pickle.root);
  if (const Node* root = pickle.node(pickle.root); root != nullptr && is_sequence(*root)) {
    for (std::size_t i = 0; i < root->items.size(); ++i) add(std::to_string(i), root->items[i]);
  }
  for (std::size_t i = 0; i <= depth; ++i) {
    level = std::exchange(next, {});
    for (const auto& [path, dict] : level) {
      if (found.size() == most) return found;
      const auto known = seen.find(dict);
      const bool holds = known != seen.end() ? known->second : holds_tensors(pickle, *dict);
      if (holds) found.push_back({path, dict});
      if (known != seen.end()) continue;  // what is below it was found by the first path
      seen.emplace(dict, holds);
      for (std::size_t item = 0; item + 1 < dict->items.size(); item += 2) {
        const auto* key = std::get_if<std::string_view>(&dict->items[item]);
        if (key == nullptr || key->size() > longest_name || !is_utf8(*key) || count >= most_seen) continue;
        if (pickle.node(dict->items[item + 1], Node::Kind::dict) == nullptr) continue;
        add(path == "." ? std::string(*key) : fmt::format("{}.{}", path, *key), dict->items[item + 1]);
      }
    }
  }
  return found;
}

/// The error for a file that has no dict of tensors: it says what is there.
[[nodiscard]] inline FileError no_tensors(const Source& source, const Pickle& pickle, const PassedOver& passed) {
  const std::string save = "save the tensors by name in Python: torch.save(model.state_dict(), path)";
  const Node* root = pickle.node(pickle.root);
  if (root != nullptr && is_module(*root)) {
    return {source.name,
            fmt::format("holds a whole pickled module, '{}', not a dict of tensors; nothing was run",
                        pickle.global_name(*root)),
            "load it in Python, with its classes, and " + save};
  }
  if (SpecReader::form(pickle, root).kind == TensorKind::plain) {
    return {source.name, "holds one tensor without a name",
            "save it by name in Python: torch.save({\"name\": t}, path)"};
  }
  std::string what = "holds no dict of named tensors";
  if (passed.count > 0) {
    what += fmt::format("; what it holds was not made, and nothing was run: {}", quoted_text(passed, 6));
  }
  return {source.name, std::move(what), save};
}

/// The dict under a key, which is an error if there is none.
[[nodiscard]] inline const Node* chosen_by_key(const Source& source, const Pickle& pickle,
                                               const std::vector<Candidate>& found, const std::string& key) {
  std::vector<std::string> paths;
  for (const auto& [path, dict] : found) {
    if (path == key) return dict;
    paths.push_back(path);
  }
  const Value* value = at_key(pickle, pickle.root, key);
  const Node* node = value == nullptr ? nullptr : pickle.node(*value);
  if (node != nullptr && node->kind == Node::Kind::dict && holds_tensors(pickle, *node)) return node;
  std::string what = fmt::format("holds no dict of tensors under the key '{}'", key);
  if (value != nullptr) what += fmt::format(": there is {}", described(pickle, *value));
  throw FileError(source.name, std::move(what),
                  paths.empty() ? "save the tensors by name in Python: torch.save(model.state_dict(), path)"
                                : fmt::format("give one of its keys: {}", join_names(paths)));
}

/// The dict meant by `key`; without one, the only one, or the only one that has a customary name.
inline const Node* choose(const Source& source, const Pickle& pickle, const std::vector<Candidate>& found,
                          const std::string& key, const PassedOver& passed) {
  if (!key.empty()) return chosen_by_key(source, pickle, found, key);
  if (found.empty()) throw no_tensors(source, pickle, passed);
  std::vector<std::string> paths;
  std::unordered_set<const Node*> all, usual;
  for (const auto& [path, dict] : found) {
    paths.push_back(path);
    all.insert(dict);
    if (std::ranges::find(customary_keys, path) != customary_keys.end()) usual.insert(dict);
  }
  if (usual.size() == 1) return *usual.begin();
  for (const std::string_view name : customary_keys) {
    const Value* value = at_key(pickle, pickle.root, name);
    const Node* node = value == nullptr ? nullptr : pickle.node(*value);
    if (node == nullptr || !is_module(*node)) continue;
    throw FileError(source.name,
                    fmt::format("holds under the key '{}' a whole pickled module, '{}', not a dict of tensors; nothing "
                                "was run",
                                name, pickle.global_name(*node)),
                    fmt::format("load it in Python, with its classes, and save its tensors alone: "
                                "torch.save(checkpoint[\"{}\"].state_dict(), path); or say which tensors you mean: "
                                ".key = \"{}\"",
                                name, paths[0]));
  }
  if (all.size() == 1) return *all.begin();
  throw FileError(source.name, fmt::format("holds {} dicts of tensors: {}", paths.size(), join_names(paths)),
                  fmt::format("say which: .key = \"{}\"", paths[0]));
}

/// A tensor's name and what the pickle says of it. The pickle itself is of no more use, and takes a few times as much.
using NamedSpec = std::pair<std::string, TensorSpec>;

/// What a file holds, in the order of the file.
struct FoundTensors {
  std::vector<NamedSpec> tensors = {};
  std::map<std::string, std::string> unreadable = {};  ///< as StateDict::unreadable
  PassedOver passed_over = {};
};

/// The name of a tensor, if it can be one. Numbers are: Python's `{0: tensor}` is read as "0".
[[nodiscard]] inline std::string tensor_name(const Source& source, const Pickle& pickle, const Value& key) {
  if (const auto* number = std::get_if<std::int64_t>(&key)) return std::to_string(*number);
  const auto* name = std::get_if<std::string_view>(&key);
  if (name == nullptr) {
    throw FileError(source.name,
                    fmt::format("has a tensor under a key that is no name, but {}", described(pickle, key)),
                    "save it in Python under names: torch.save({\"name\": tensor, ...}, path)");
  }
  if (name->size() > longest_name) throw source.damaged("a tensor's name is no text, or too long");
  if (!is_utf8(*name)) throw source.damaged("a tensor's name is no UTF-8");
  return std::string(*name);
}

[[nodiscard]] inline FileError there_twice(const Source& source, std::string_view name) {
  return source.damaged(fmt::format("tensor '{}' is there twice", name));
}

/// The tensors of the chosen dict.
[[nodiscard]] inline FoundTensors dict_tensors(const Source& source, const Pickle& pickle, const std::string& key) {
  const SpecReader reader(source, pickle);
  FoundTensors found{.passed_over = passed_over(pickle)};
  const Node* dict = choose(source, pickle, candidates(pickle), key, found.passed_over);
  std::unordered_set<std::string> names;  // each once: so they take no more than in the file
  for (std::size_t i = 0; i + 1 < dict->items.size(); i += 2) {
    const Node* value = pickle.node(dict->items[i + 1]);
    const SpecReader::Form form = SpecReader::form(pickle, value);
    if (form.kind == TensorKind::none) continue;
    std::string name = tensor_name(source, pickle, dict->items[i]);
    if (!names.insert(name).second) throw there_twice(source, name);
    if (form.kind == TensorKind::plain) {
      found.tensors.emplace_back(std::move(name), reader.tensor(value));
    } else {
      found.unreadable.emplace(std::move(name), pickle.global_name(*form.named));
    }
  }
  return found;
}

/// Makes the tensors; `storage_of(StorageRef)` brings their bytes.
template <class StorageOf>
StateDict read_state_dict(const Source& source, FoundTensors found, StorageOf storage_of) {
  StateDict state;
  for (auto& [name, described] : found.tensors) {
    if (state.contains(name)) throw there_twice(source, name);
    const TensorSpec spec = std::move(described);
    state.insert(std::move(name), make_tensor(source, spec, storage_of(spec.storage)));
  }
  for (auto& [name, what] : found.unreadable) state.leave_out(name, std::move(what));
  state.pass_over(found.passed_over);
  return state;
}

}  // namespace thaw::detail
