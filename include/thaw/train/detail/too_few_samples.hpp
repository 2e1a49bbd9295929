// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <exception>
#include <string>
#include <string_view>

#include <thaw/core/error.hpp>

namespace thaw::detail {

/// Whether LibTorch says that a norm layer cannot take statistics over one value.
[[nodiscard]] inline bool is_too_few_for_norm(const std::exception& error) {
  return std::string_view(error.what()).find("more than 1 value per channel") != std::string_view::npos;
}

[[nodiscard]] inline DataError too_few_for_norm(const std::string& where) {
  return {where, "a batch of 1 sample is too few for a batch norm that trains: a channel has 1 value",
          "leave the last batch out (drop_last), take another batch size, or hold the norm (thaw::hold_everywhere)"};
}

[[nodiscard]] inline DataError no_samples(const std::string& where) {
  return {where, "a batch has no samples", "leave empty batches out: there is nothing to take a mean over"};
}

}  // namespace thaw::detail
