// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace thaw::test {

/// A committed file under tests/fixtures.
inline std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(THAW_FIXTURES) / name;
}

inline nlohmann::json json_fixture(const std::string& name) {
  std::ifstream file(fixture(name));
  return nlohmann::json::parse(file);
}

/// A real file that `./dev` fetches (weights, images); skips the test where it is missing.
inline std::filesystem::path fetched(const std::string& name) {
  const auto path = std::filesystem::path(THAW_DATA_DIR) / name;
  if (!std::filesystem::exists(path)) SKIP(path.string() + " is missing: ./dev test fetches it");
  return path;
}

/// A real file from the optional folder THAW_TEST_DATA; skips the test where it is missing.
inline std::filesystem::path test_data(const std::string& name) {
  const auto path = std::filesystem::path(THAW_TEST_DATA) / name;
  if (!std::filesystem::exists(path)) SKIP(path.string() + " is missing: set THAW_TEST_DATA when configuring");
  return path;
}

}  // namespace thaw::test
