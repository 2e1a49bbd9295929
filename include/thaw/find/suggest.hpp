#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <thaw/find/lr_curve.hpp>

namespace thaw {

/// A suggested rate, with the smoothed loss that the curve has there (to mark it in a plot).
struct Suggestion {
  std::string name;  ///< "valley", "slide", "steep" or "minimum"
  double lr = 0;
  double loss = 0;
};

/// Those of the four suggestions that this curve gives, in the order valley, slide, steep, minimum.
[[nodiscard]] std::vector<Suggestion> suggestions(const LRCurve& curve);

}  // namespace thaw
