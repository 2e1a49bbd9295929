// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/checkpoint/detail/folder.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::detail::CheckpointFolder;
using thaw::test::Folder;

TEST_CASE("looking at a folder of checkpoints makes nothing and removes nothing") {
  const Folder folder;
  std::ofstream(folder / "best.safetensors.link.tmp") << "x";
  CheckpointFolder::check(folder.path, "run");
  CHECK(folder.files() == 1);
  CheckpointFolder::check(folder / "none", "run");
  CHECK_FALSE(std::filesystem::exists(folder / "none"));
}

TEST_CASE("an errno that was there before is no failure") {
  const Folder folder;
  errno = EWOULDBLOCK;
  CHECK_NOTHROW(CheckpointFolder(folder.path, "run"));
}

TEST_CASE("a folder may be the first file of a program without standard input, and is let go of") {
  const Folder folder;
  const int input = ::dup(STDIN_FILENO);
  REQUIRE(::close(STDIN_FILENO) == 0);
  std::vector<std::string> said;
  for (int i = 0; i < 2; ++i) try {
      const CheckpointFolder first(folder.path, "run");
      try {
        const CheckpointFolder second(folder.path, "run");
        said.emplace_back("two may write");
      } catch (const thaw::ConfigError&) {
      }
    } catch (const thaw::Error& error) {
      said.emplace_back(error.what());
    }
  ::dup2(input, STDIN_FILENO);
  ::close(input);
  CHECK(said == std::vector<std::string>{});
}

TEST_CASE("a folder that cannot be made or written to is an error, and standard input stays open") {
  const Folder folder;
  std::ofstream(folder / "file") << "x";
  CHECK_THROWS_MATCHES(CheckpointFolder(folder / "file/below", "run"), thaw::FileError,
                       MessageMatches(ContainsSubstring("Not a directory")));
  CHECK(::fcntl(STDIN_FILENO, F_GETFD) != -1);
  if (::getuid() != 0) SKIP("only root can be somebody else for a moment");
  REQUIRE(::setreuid(65534, 0) == 0);  // access() asks for the real user
  std::string said;
  try {
    const CheckpointFolder refused(folder.path, "run");
  } catch (const thaw::FileError& error) {
    said = error.what();
  }
  REQUIRE(::setreuid(0, 0) == 0);
  CHECK_THAT(said, ContainsSubstring("Permission denied"));
}
