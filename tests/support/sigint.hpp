#pragma once

#include <csignal>

namespace thaw::test {

/// SIGINT handled so while it lives, by default as in a fresh program: Catch2 has a handler of its own, and a shell's
/// background jobs ignore it.
class Sigint {
 public:
  using Handler = void (*)(int);
  explicit Sigint(Handler handler = SIG_DFL) : before_(std::signal(SIGINT, handler)) {}
  ~Sigint() { std::signal(SIGINT, before_); }
  Sigint(const Sigint&) = delete;
  Sigint& operator=(const Sigint&) = delete;

  /// The handler in force.
  [[nodiscard]] static Handler current() {
    const Handler handler = std::signal(SIGINT, SIG_IGN);
    std::signal(SIGINT, handler);
    return handler;
  }

 private:
  Handler before_;
};

}  // namespace thaw::test
