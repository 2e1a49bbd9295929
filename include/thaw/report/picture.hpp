// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

namespace thaw {

/// An image file's bytes, and what is to be seen there: for a report that shows it.
struct Picture {
  std::string caption = {};
  std::string media_type = "image/png";  ///< or another that browsers show: "image/jpeg", "image/svg+xml"
  std::string bytes = {};
};

}  // namespace thaw
