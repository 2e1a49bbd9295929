// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

namespace thaw::test {

/// Sets an environment variable (or removes it) until the end of its scope.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    value == nullptr ? unsetenv(name) : setenv(name, value, 1);
  }
  ~Environment() { old_ ? setenv(name_, old_->c_str(), 1) : unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

/// A pseudo-terminal's user side, `columns` wide.
class PseudoTerminal {
 public:
  explicit PseudoTerminal(unsigned short columns) : main_(posix_openpt(O_RDWR | O_NOCTTY)) {
    if (main_ < 0 || grantpt(main_) != 0 || unlockpt(main_) != 0) return;
    const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    ioctl(main_, TIOCSWINSZ, &size);
    file_ = std::fopen(ptsname(main_), "w");
  }
  ~PseudoTerminal() {
    if (file_ != nullptr) std::fclose(file_);
    if (main_ >= 0) close(main_);
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;
  [[nodiscard]] std::FILE* file() const { return file_; }

 private:
  int main_;
  std::FILE* file_ = nullptr;
};

}  // namespace thaw::test
