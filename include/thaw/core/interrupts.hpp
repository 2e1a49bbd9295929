// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <signal.h>
#include <time.h>

#include <atomic>
#include <csignal>
#include <string>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>

namespace thaw {

/// The user pressed ctrl-C, or another process asked this one to end, during a call of thaw's that had something to put
/// back or to save first, and did.
class Interrupted : public Error {
 public:
  explicit Interrupted(std::string where)
      : Error(std::move(where), "interrupted by ctrl-C; all is as it was before", "call it again to start over") {}
  using Error::Error;
};

namespace detail {

/// Whether a program may wait with a signal until its step has ended: not with what cannot be caught, and not with what
/// the processor or abort() raises, after which nothing can go on.
[[nodiscard]] bool can_wait(int signal);

/// "SIGTERM".
[[nodiscard]] std::string signal_name(int signal);

}  // namespace detail

/// While it lives, ctrl-C (SIGINT) does not end the program: `seen()` tells. So for other signals that are named. What
/// a program handles itself, or ignores, stays as it is, and then nothing is seen here. A second ctrl-C, a second or
/// more after the first signal, ends the program at once: launchers may send one twice, people wait and press again.
/// One at a time; not for use from several threads.
class Interrupts {
 public:
  explicit Interrupts(const std::vector<int>& signals = {SIGINT});
  ~Interrupts() { put_back(); }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  /// The last signal that came; 0 for none.
  [[nodiscard]] int seen() const { return ours_.empty() ? 0 : flag().load(); }

  /// Lets the signal that was seen do what it would have done: it mostly ends the program.
  void raise_again() { raise(seen()); }
  /// The same of one that another process saw.
  void raise(int signal);

 private:
  void put_back();
  // Handlers may run in any thread, and at any moment: they call nothing but what POSIX allows them.
  static void handle(int signal);
  static double seconds();
  static std::atomic<int>& flag();
  static std::atomic<double>& since();
  std::vector<int> ours_;
};

}  // namespace thaw

#if THAW_DEFINES(core)

namespace thaw::detail {

THAW_INLINE bool can_wait(int signal) {
  struct sigaction current{};
  for (const int never : {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT})
    if (signal == never) return false;
  return ::sigaction(signal, nullptr, &current) == 0;  // else there is none of this number
}

THAW_INLINE std::string signal_name(int signal) {
  switch (signal) {
    case SIGINT:
      return "SIGINT";
    case SIGTERM:
      return "SIGTERM";
    case SIGHUP:
      return "SIGHUP";
    case SIGUSR1:
      return "SIGUSR1";
    case SIGUSR2:
      return "SIGUSR2";
    case SIGXCPU:
      return "SIGXCPU";
    default:
      return "signal " + std::to_string(signal);
  }
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE Interrupts::Interrupts(const std::vector<int>& signals) {
  for (const int each : signals) {
    struct sigaction current {};  // asked, not replaced: putting a handler back by std::signal would lose its flags
    if (::sigaction(each, nullptr, &current) != 0 || (current.sa_flags & SA_SIGINFO) != 0 ||
        current.sa_handler != SIG_DFL)
      continue;
    if (ours_.empty()) flag() = 0;  // not where another's handler is in place, which has yet to ask
    std::signal(each, handle);
    ours_.push_back(each);
  }
}

THAW_INLINE void Interrupts::raise(int signal) {
  put_back();
  if (signal != 0) std::raise(signal);
}

THAW_INLINE void Interrupts::put_back() {
  for (const int each : ours_) std::signal(each, SIG_DFL);
  ours_.clear();
}

THAW_INLINE void Interrupts::handle(int signal) {
  if (flag() == 0) {
    since() = seconds();
  } else if (signal == SIGINT && seconds() - since() >= 1) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);  // once this has returned
  }
  flag() = signal;
}

THAW_INLINE double Interrupts::seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

THAW_INLINE std::atomic<int>& Interrupts::flag() {
  static_assert(std::atomic<int>::is_always_lock_free);
  static std::atomic<int> value = 0;
  return value;
}

THAW_INLINE std::atomic<double>& Interrupts::since() {
  static_assert(std::atomic<double>::is_always_lock_free);
  static std::atomic<double> value = 0;
  return value;
}

}  // namespace thaw

#endif
