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

/// "args: argparse.Namespace, size: torch.Size, ... (7 more)"
[[nodiscard]] inline std::string passed_over_text(const PassedOver& passed, std::size_t most) {
  std::string text;
  const std::size_t shown = std::min(most, passed.objects.size());
  for (std::size_t i = 0; i < shown; ++i) {
    const auto& [path, what, whole] = passed.objects[i];
    text += fmt::format("{}{}: {}{}", i == 0 ? "" : ", ", path, what, whole ? " (a whole module)" : "");
  }
  if (passed.count > shown) text += fmt::format(", ... ({} more)", passed.count - shown);
  return text;
}

}  // namespace detail

}  // namespace thaw
