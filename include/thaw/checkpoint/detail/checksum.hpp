// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

#include <memory>
#include <string>
#include <string_view>

namespace thaw::detail {

/// XXH3, 128 bits, of bytes that come piece by piece. Against damage, not against an attacker.
class Checksum {
 public:
  static constexpr std::size_t size = 16;

  Checksum() { XXH3_128bits_reset(state_.get()); }
  void add(std::string_view bytes) { XXH3_128bits_update(state_.get(), bytes.data(), bytes.size()); }
  /// In xxHash's canonical order of bytes.
  [[nodiscard]] std::string digest() const {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_.get()));
    return {reinterpret_cast<const char*>(canonical.digest), size};
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_{XXH3_createState()};
};

}  // namespace thaw::detail
