// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace thaw {

/// What a weight file holds beside the tensors that are read: Python objects, such as a checkpoint's arguments, and
/// tensors that are sparse or quantised. None was made.
struct PassedOver {
  struct Object {
    std::string path;        ///< the keys to it, as "hyper_parameters.loss"; empty: the file as a whole
    std::string what;        ///< its class or function in Python, as "argparse.Namespace"
    bool is_module = false;  ///< a whole torch.nn.Module, pickled with its class
  };
  static constexpr std::size_t most_named = 100;

  std::size_t count = 0;             ///< all of them; an object inside another is not counted
  std::vector<Object> objects = {};  ///< the first 100, in the order of the file

  void add(Object object) {
    if (objects.size() < most_named) objects.push_back(std::move(object));
    ++count;
  }

  void add(const PassedOver& others) {
    for (const Object& each : others.objects) add(each);
    count += others.count - others.objects.size();
  }
};

namespace detail {

/// The first `most` of them as `words(object)` gives each: "a, b, ... (7 more)".
template <class Words>
[[nodiscard]] std::string listed(const PassedOver& passed, std::size_t most, Words words) {
  std::string text;
  const std::size_t shown = std::min(most, passed.objects.size());
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + words(passed.objects[i]);
  if (passed.count > shown) text += fmt::format(", ... ({} more)", passed.count - shown);
  return text;
}

/// "args: argparse.Namespace, size: torch.Size, ... (7 more)"
[[nodiscard]] inline std::string passed_over_text(const PassedOver& passed, std::size_t most) {
  return listed(passed, most, [](const PassedOver::Object& each) {
    return fmt::format("{}: {}{}", each.path, each.what, each.is_module ? " (a whole module)" : "");
  });
}

}  // namespace detail

}  // namespace thaw
