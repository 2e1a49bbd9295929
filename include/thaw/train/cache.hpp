// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>

namespace thaw {

/// Whether a stage keeps what its frozen part makes of the data, so that the part is run over it once and not in every
/// epoch: `.cache = thaw::Cache::memory`. It needs a model that can be run in parts (SplitForward), leading parts that
/// are frozen all along, their norm layers held, and an InMemory source that does not augment.
struct Cache {
  enum class Where {
    nowhere,
    memory,
    disk,  ///< a memory-mapped file, which is gone when the stage ends
  };

  Where where = Where::nowhere;
  std::int64_t limit = std::int64_t{4} << 30;  ///< bytes, of training and validation data together
  std::string directory = {};                  ///< of the file; empty: the system's for temporary files
  /// Of augmented data, how many passes are kept: epoch i (from 0) trains on pass i % passes. More than 1 says that
  /// augmented data may be kept; it is then seen in so many versions, no more.
  std::int64_t passes = 1;
  bool required = true;  ///< false: where it cannot be done the stage runs without, and its StageRecord says why

  static const Cache memory, disk;

  explicit operator bool() const { return where != Where::nowhere; }
};

inline const Cache Cache::memory{.where = Where::memory};
inline const Cache Cache::disk{.where = Where::disk, .limit = std::int64_t{64} << 30};

}  // namespace thaw
