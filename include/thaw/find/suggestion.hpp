// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

namespace thaw {

/// A suggested rate, and what the curve says there (to mark it in a plot).
struct Suggestion {
  std::string name;       ///< the rule: "before_rise", "valley", "slide", "steep" or "minimum"
  double lr = 0;          ///< absolute rate of the last layer group
  double loss = 0;        ///< the smoothed loss there
  double confidence = 0;  ///< in [0, 1]: how far what the rule looks for stands out of the noise; 0: it does not
  bool recommended = false;  ///< the one to take
};

/// Every rule by its name.
[[nodiscard]] inline std::vector<std::string> suggestion_names() {
  return {"valley", "slide", "steep", "minimum", "before_rise"};
}

}  // namespace thaw
