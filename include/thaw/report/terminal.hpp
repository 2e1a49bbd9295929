// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string_view>

#if __has_include(<sys/ioctl.h>) && __has_include(<unistd.h>)
#include <sys/ioctl.h>
#include <unistd.h>
#define THAW_HAS_TTY 1  // NOLINT(cppcoreguidelines-macro-usage): for #if
#else
#define THAW_HAS_TTY 0
#endif

namespace thaw {

/// Where progress is written, and what can be written there. Plain data, so that any sink will do.
struct Terminal {
  std::function<void(std::string_view)> write = [](std::string_view) {};
  std::function<double()> seconds = [] { return 0.0; };                   ///< a clock that never goes back
  std::function<std::size_t()> columns = [] { return std::size_t{80}; };  ///< asked anew for every progress line
  bool interactive = false;                                               ///< a line can be written over
  bool color = false;  ///< understands escape sequences for bold and dim
  bool unicode = false;

  /// The C stream `out`, which must outlive this. Interactive if it is a terminal (and not a dumb one: TERM); coloured
  /// if it is interactive and NO_COLOR is not set; Unicode if the locale's variables say UTF-8.
  [[nodiscard]] static Terminal of(std::FILE* out);
};

namespace detail {

[[nodiscard]] inline std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

[[nodiscard]] inline bool is_terminal([[maybe_unused]] std::FILE* out) {
#if THAW_HAS_TTY
  return isatty(fileno(out)) != 0 && environment("TERM") != "dumb";
#else
  return false;
#endif
}

/// The window's width; else what COLUMNS says; else 80.
[[nodiscard]] inline std::size_t terminal_columns([[maybe_unused]] std::FILE* out) {
#if THAW_HAS_TTY
  winsize size{};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
#endif
  const std::string_view text = environment("COLUMNS");
  int columns = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), columns);
  return columns > 0 ? static_cast<std::size_t>(columns) : 80;
}

[[nodiscard]] inline bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
    if (const std::string_view value = environment(name); !value.empty())
      return value.find("UTF-8") != value.npos || value.find("utf8") != value.npos;
  return false;
}

}  // namespace detail

inline Terminal Terminal::of(std::FILE* out) {
  const bool interactive = detail::is_terminal(out);
  return {.write =
              [out](std::string_view text) {
                std::fwrite(text.data(), 1, text.size(), out);
                std::fflush(out);
              },
          .seconds =
              [] {
                const auto now = std::chrono::steady_clock::now().time_since_epoch();
                return std::chrono::duration<double>(now).count();
              },
          .columns = [out] { return detail::terminal_columns(out); },
          .interactive = interactive,
          .color = interactive && detail::environment("NO_COLOR").empty(),
          .unicode = detail::locale_is_utf8()};
}

}  // namespace thaw

#undef THAW_HAS_TTY
