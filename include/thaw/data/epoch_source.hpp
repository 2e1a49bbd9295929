// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <utility>

#include <thaw/core/compiled.hpp>
#include <thaw/data/batch.hpp>
#include <thaw/data/shard.hpp>

namespace thaw {

/// A source that knows itself: how many batches a pass has, and the pass of a given epoch. The same epoch gives the
/// same batches, so that a pass can be repeated. It may offer `Fields targets() const`, all its targets at once, which
/// lets them be checked before training; `last_batch()`, how many samples a pass's last batch has; `in_order()`, every
/// sample once in an order of its own, or else `bool ordered() const`, false where `stream` shuffles or leaves samples
/// out, which `predict` must know; `stream(epoch, i)`, the pass from its i-th batch on, which lets a resumed run
/// skip what it has seen without making it; and `stream(epoch, i, shard)`, a Shard of each batch, which lets each of
/// several processes make its own samples alone.
template <class S>
concept EpochSource = requires(const S& source, std::int64_t epoch) {
  { source.batches() } -> std::convertible_to<std::int64_t>;
  { source.stream(epoch) } -> std::convertible_to<BatchStream>;
};

/// An EpochSource of which every sample can be had once, in an order of its own, and be given another input: what a
/// frozen network makes of it (see Stage::cache). A source that augments may offer `in_order(pass)`, each pass
/// augmented otherwise.
template <class S>
concept IndexedSource = EpochSource<S> && requires(const S& source, Fields input) {
  { source.samples() } -> std::convertible_to<std::int64_t>;
  { source.in_order() } -> std::convertible_to<BatchStream>;
  { source.with_input(input) } -> EpochSource;
};

/// An IndexedSource of which several processes can each keep a part: `in_order(pass, shard)` gives the samples whose
/// numbers are shard.index, shard.index + shard.count, ...; and `with_input(input, shard)`, which has such inputs
/// alone, gives of each batch the samples that they are of.
template <class S>
concept ShardedSource = IndexedSource<S> && requires(const S& source, Fields input, const Shard& shard) {
  { source.in_order(std::int64_t{}, shard) } -> std::convertible_to<BatchStream>;
  { source.with_input(input, shard) } -> EpochSource;
};

namespace detail {

/// Without its next i batches, and of the others a shard.
BatchStream rest_of(BatchStream stream, std::int64_t i, const Shard& shard);

/// What the source cannot skip or share itself is made and dropped.
template <EpochSource S>
BatchStream stream_of(const S& source, std::int64_t epoch, std::int64_t i, const Shard& shard) {
  if constexpr (requires { source.stream(epoch, i, shard); })
    return source.stream(epoch, i, shard);
  else if constexpr (requires { source.stream(epoch, i); })
    return rest_of(source.stream(epoch, i), 0, shard);
  else
    return rest_of(source.stream(epoch), i, shard);
}

template <class S>
concept GivesInOrder = requires(const S& source) {
  { source.in_order() } -> std::convertible_to<BatchStream>;
};

template <GivesInOrder S>
BatchStream in_order(const S& source, std::int64_t pass) {
  if constexpr (requires { source.in_order(pass); })
    return source.in_order(pass);
  else
    return source.in_order();
}

}  // namespace detail

}  // namespace thaw

#if THAW_DEFINES(data)

namespace thaw::detail {

THAW_INLINE BatchStream rest_of(BatchStream stream, std::int64_t i, const Shard& shard) {
  while (i-- > 0 && stream()) {
  }
  if (shard.all()) return stream;
  return [stream = std::move(stream), shard]() -> std::optional<Batch> {
    const std::optional<Batch> whole = stream();
    return whole ? std::optional(shard_of(*whole, shard)) : std::nullopt;
  };
}

}  // namespace thaw::detail

#endif
