// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <support/data.hpp>
#include <thaw/weights/read_weights.hpp>

namespace thaw::test {

inline std::filesystem::path weights(const std::string& name) {
  return fixture("weights/" + name);
}

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Reads weights from memory.
inline StateDict parse(std::string_view bytes) {
  return detail::read_weights({"memory", bytes});
}

/// What `action` complains about: "where: problem\n  fix: how"; empty when it does not.
template <class Exception = FileError, class Action>
std::string complaint(Action&& action) {
  try {
    action();
  } catch (const Exception& error) {
    return error.what();
  }
  return {};
}

}  // namespace thaw::test
