// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <csignal>

namespace thaw::test {

/// SIGINT, or another signal, handled so while it lives, by default as in a fresh program: Catch2 has a handler of its
/// own, and a shell's background jobs ignore it.
class Sigint {
 public:
  using Handler = void (*)(int);
  explicit Sigint(Handler handler = SIG_DFL, int signal = SIGINT)
      : signal_(signal), before_(std::signal(signal, handler)) {}
  ~Sigint() { std::signal(signal_, before_); }
  Sigint(const Sigint&) = delete;
  Sigint& operator=(const Sigint&) = delete;

  /// The handler in force.
  [[nodiscard]] static Handler current() {
    const Handler handler = std::signal(SIGINT, SIG_IGN);
    std::signal(SIGINT, handler);
    return handler;
  }

 private:
  int signal_;
  Handler before_;
};

}  // namespace thaw::test
