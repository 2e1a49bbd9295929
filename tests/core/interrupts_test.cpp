// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/core/interrupts.hpp>

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "support/sigint.hpp"

using thaw::Interrupts;
using thaw::test::Sigint;

namespace {

volatile std::sig_atomic_t asked = 0;
void users_own(int) {
  asked = asked + 1;
}

}  // namespace

TEST_CASE("ctrl-C while Interrupts lives does not end the program, and is seen") {
  const Sigint as_in_a_fresh_program;
  const Interrupts interrupts;
  CHECK(interrupts.seen() == 0);
  REQUIRE(Sigint::current() != SIG_DFL);  // or the next line would end this program
  std::raise(SIGINT);
  CHECK(interrupts.seen() == SIGINT);
  CHECK(interrupts.seen() == SIGINT);  // it stays so
  std::raise(SIGINT);                  // the handler stays, too
  CHECK(interrupts.seen() == SIGINT);
}

TEST_CASE("the default handler is back afterwards, and an old ctrl-C is forgotten") {
  const Sigint as_in_a_fresh_program;
  {
    const Interrupts interrupts;
    REQUIRE(Sigint::current() != SIG_DFL);
    std::raise(SIGINT);
    CHECK(interrupts.seen() == SIGINT);
  }
  CHECK(Sigint::current() == SIG_DFL);
  const Interrupts next;
  CHECK(next.seen() == 0);
}

TEST_CASE("a handler of the user's own stays in place and is asked; then nothing is seen") {
  const Sigint own(users_own);
  asked = 0;
  {
    const Interrupts interrupts;
    CHECK(Sigint::current() == users_own);
    std::raise(SIGINT);
    CHECK(asked == 1);
    CHECK(interrupts.seen() == 0);
  }
  CHECK(Sigint::current() == users_own);
}

TEST_CASE("where ctrl-C is ignored, it stays ignored") {
  const Sigint ignored(SIG_IGN);
  {
    const Interrupts interrupts;
    CHECK(Sigint::current() == SIG_IGN);
    std::raise(SIGINT);
    CHECK(interrupts.seen() == 0);
  }
  CHECK(Sigint::current() == SIG_IGN);
}

TEST_CASE("a handler of the user's own keeps its flags") {
  struct sigaction mine{}, now{}, before{};
  mine.sa_sigaction = [](int, siginfo_t*, void*) {};
  mine.sa_flags = SA_SIGINFO;
  sigaddset(&mine.sa_mask, SIGTERM);
  ::sigaction(SIGINT, &mine, &before);
  {
    const thaw::Interrupts interrupts;
  }
  ::sigaction(SIGINT, &before, &now);
  CHECK((now.sa_flags & (SA_SIGINFO | SA_RESTART)) == SA_SIGINFO);
  CHECK(sigismember(&now.sa_mask, SIGTERM) == 1);
  CHECK(now.sa_sigaction == mine.sa_sigaction);
}

TEST_CASE("a second ctrl-C ends the program, unless it comes with the first, as launchers send it") {
  const Sigint as_in_a_fresh_program;
  const auto child = [](const timespec& pause) {
    const pid_t process = ::fork();
    if (process == 0) {
      const Interrupts interrupts;
      std::raise(SIGINT);
      ::nanosleep(&pause, nullptr);
      std::raise(SIGINT);
      ::_exit(interrupts.seen() == SIGINT ? 7 : 8);
    }
    int status = 0;
    ::waitpid(process, &status, 0);
    return status;
  };
  const int later = child({.tv_sec = 1, .tv_nsec = 50'000'000}), together = child({});
  CHECK((WIFSIGNALED(later) && WTERMSIG(later) == SIGINT));
  CHECK((WIFEXITED(together) && WEXITSTATUS(together) == 7));
}
