#pragma once

#include <signal.h>

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
    struct sigaction current{};  // asked, not replaced: putting a handler back by std::signal would lose its flags
    ours_ = ::sigaction(SIGINT, nullptr, &current) == 0 && (current.sa_flags & SA_SIGINFO) == 0 &&
            current.sa_handler == SIG_DFL;
    if (ours_) std::signal(SIGINT, [](int) { flag() = 1; });
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
