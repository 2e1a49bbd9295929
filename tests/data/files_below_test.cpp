// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/files_below.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/folder.hpp"

TEST_CASE("links are followed; those that lead nowhere or back up are passed over, and named") {
  using Catch::Matchers::ContainsSubstring;
  const thaw::test::Folder folder, elsewhere;
  std::filesystem::create_directories(folder / "a/b");
  std::ofstream(folder / "a/1.txt") << "";
  std::ofstream(folder / "a/.hidden.txt") << "";
  std::ofstream(elsewhere / "2.txt") << "";
  std::filesystem::create_directory_symlink(folder.path, folder / "a/b/up");
  std::filesystem::create_directory_symlink("self", folder / "a/self");
  std::filesystem::create_symlink("nowhere.txt", folder / "a/dead.txt");
  std::filesystem::create_directory_symlink(elsewhere.path, folder / "a/other");
  std::filesystem::create_symlink("1.txt", folder / "a/3.txt");
  const thaw::FilesBelow found = thaw::files_below(
      folder.path, [](const auto& path) { return path.extension() == ".txt"; }, "x");
  CHECK(found.files ==
        std::vector<std::filesystem::path>{folder / "a/1.txt", folder / "a/3.txt", folder / "a/other/2.txt"});
  CHECK(thaw::files_below(
            folder.path, [](const auto&) { return true; }, "x", 1)
            .files.size() == 1);
  REQUIRE(found.passed_over.size() == 3);
  CHECK_THAT(found.passed_over[0], ContainsSubstring("a/b/up: a link back to a folder that it lies in"));
  CHECK_THAT(found.passed_over[1], ContainsSubstring("a/dead.txt: a link that leads nowhere"));
  CHECK_THAT(found.passed_over[2], ContainsSubstring("a/self: a link that leads nowhere"));
}
