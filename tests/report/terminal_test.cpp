// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/terminal.hpp>

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "report/pty.hpp"

using thaw::Terminal;
using thaw::test::Environment;
using thaw::test::PseudoTerminal;

namespace {

struct File {
  std::FILE* file;
  explicit File(std::FILE* f) : file(f) {}
  ~File() {
    if (file != nullptr) std::fclose(file);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

}  // namespace

TEST_CASE("a file is no terminal, and gets what is written at once") {
  const Environment columns{"COLUMNS", "132"};
  const File file{std::tmpfile()};
  const Terminal terminal = Terminal::of(file.file);
  CHECK_FALSE(terminal.interactive);
  CHECK_FALSE(terminal.color);
  CHECK(terminal.columns() == 132);
  terminal.write("text");
  CHECK(lseek(fileno(file.file), 0, SEEK_END) == 4);
}

TEST_CASE("without a width there are 80 columns") {
  const File file{std::tmpfile()};
  for (const char* value : {static_cast<const char*>(nullptr), "", "wide", "-3"}) {
    const Environment columns{"COLUMNS", value};
    CHECK(Terminal::of(file.file).columns() == 80);
  }
}

TEST_CASE("a terminal is as wide as its window, and coloured unless NO_COLOR or TERM=dumb forbid") {
  const PseudoTerminal pty{57};
  if (pty.file() == nullptr) SKIP("no pseudo-terminals here");
  const Environment term{"TERM", "xterm"}, no_color{"NO_COLOR", nullptr}, columns{"COLUMNS", "132"};
  CHECK(Terminal::of(pty.file()).interactive);
  CHECK(Terminal::of(pty.file()).color);
  CHECK(Terminal::of(pty.file()).columns() == 57);
  {
    const Environment set{"NO_COLOR", "1"};
    CHECK(Terminal::of(pty.file()).interactive);
    CHECK_FALSE(Terminal::of(pty.file()).color);
  }
  const Environment dumb{"TERM", "dumb"};
  CHECK_FALSE(Terminal::of(pty.file()).interactive);
  CHECK_FALSE(Terminal::of(pty.file()).color);
}

TEST_CASE("Unicode follows the first of LC_ALL, LC_CTYPE and LANG that is set") {
  const Environment all{"LC_ALL", ""}, type{"LC_CTYPE", nullptr}, lang{"LANG", "de_DE.UTF-8"};
  CHECK(Terminal::of(stdout).unicode);
  const Environment over{"LC_CTYPE", "C"};
  CHECK_FALSE(Terminal::of(stdout).unicode);
  const Environment above{"LC_ALL", "C.utf8"};
  CHECK(Terminal::of(stdout).unicode);
}

TEST_CASE("without any of them there is no Unicode") {
  const Environment all{"LC_ALL", nullptr}, type{"LC_CTYPE", ""}, lang{"LANG", nullptr};
  CHECK_FALSE(Terminal::of(stdout).unicode);
}

TEST_CASE("the clock runs forward") {
  const Terminal terminal = Terminal::of(stdout);
  const double before = terminal.seconds();
  CHECK(terminal.seconds() >= before);
}
