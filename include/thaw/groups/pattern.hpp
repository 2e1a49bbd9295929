// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <thaw/core/glob.hpp>

namespace thaw {

/// Which names are meant. Text is a glob over the whole name: `*` is any text, dots included, `?` any one character.
/// For regular expressions see `thaw::regex` (thaw/groups/regex.hpp).
class Pattern {
 public:
  Pattern(const char* glob) : Pattern(std::string(glob)) {}
  Pattern(std::string glob) : text_(std::move(glob)) {
    matches_ = [g = text_](std::string_view name) { return glob_match(g, name); };
  }
  /// Any predicate over the whole name; `text` is what errors call it.
  Pattern(std::string text, std::function<bool(std::string_view)> matches)
      : text_(std::move(text)), matches_(std::move(matches)) {}

  [[nodiscard]] bool matches(std::string_view name) const { return matches_(name); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::function<bool(std::string_view)> matches_;
};

/// A layer group by the names of its parameters: those that any of the patterns matches.
struct NamedPatterns {
  std::string name;
  std::vector<Pattern> patterns;
};

}  // namespace thaw
