#pragma once

#include <csignal>
#include <string>

#include <thaw/core/error.hpp>

namespace thaw {

/// The user pressed ctrl-C during a call of thaw's that had something to put back first, and did.
class Interrupted : public Error {
 public:
  explicit Interrupted(std::string where)
      : Error(std::move(where), "interrupted by ctrl-C; all is as it was before", "call it again to start over") {}
};

/// While it lives, ctrl-C (SIGINT) does not end the program: `seen()` tells. A program that handles SIGINT itself keeps
/// its own handler, and then nothing is seen here. One at a time; not for use from several threads.
class Interrupts {
 public:
  Interrupts() {
    flag() = 0;
    const auto before = std::signal(SIGINT, [](int) { flag() = 1; });
    ours_ = before == SIG_DFL;
    if (!ours_ && before != SIG_ERR) std::signal(SIGINT, before);
  }
  ~Interrupts() {
    if (ours_) std::signal(SIGINT, SIG_DFL);
  }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  [[nodiscard]] bool seen() const { return ours_ && flag() != 0; }

 private:
  static volatile std::sig_atomic_t& flag() {
    static volatile std::sig_atomic_t value = 0;
    return value;
  }
  bool ours_ = false;
};

}  // namespace thaw
