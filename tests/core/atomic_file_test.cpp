// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/core/atomic_file.hpp>

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::detail::AtomicFile;
using thaw::test::Folder;
using thaw::test::text_of;

TEST_CASE("a new file takes the old one's place when it is committed, and else leaves nothing") {
  const Folder folder;
  const auto path = folder.path / "a";
  std::ofstream(path) << "old";
  {
    AtomicFile file(path);
    file.write("new");
    CHECK(text_of(path) == "old");
  }
  CHECK(text_of(path) == "old");
  CHECK(folder.files() == 1);
  AtomicFile file(path), other(path);  // two writers of one name: each has a file of its own
  file.write("ne");
  other.write("another");
  file.write("w");
  file.commit();
  CHECK(text_of(path) == "new");
  other.commit();
  CHECK(text_of(path) == "another");
  CHECK(folder.files() == 1);
}

TEST_CASE("what cannot be created, written or replaced is a FileError, and leaves nothing") {
  const Folder folder;
  CHECK_THROWS_WITH(AtomicFile(folder.path / "none" / "a"), ContainsSubstring("cannot be created: No such file"));

  std::filesystem::create_directories(folder.path / "taken" / "full");
  const auto commit = [](const std::filesystem::path& path, const std::string& text) {
    AtomicFile file(path);
    file.write(text);
    file.commit();
  };
  CHECK_THROWS_WITH(commit(folder.path / "taken", "new"), ContainsSubstring("cannot be replaced"));

  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  const rlimit small{1'000, old_limit.rlim_max};  // as on a disk that is full then
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  CHECK_THROWS_WITH(commit(folder.path / "a", std::string(100'000, 'x')),
                    ContainsSubstring("cannot be written: File too large"));
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  std::signal(SIGXFSZ, old_handler);
  CHECK(folder.files() == 1);
}
