// SPDX-License-Identifier: BSD-3-Clause
// thaw::text brings all of thaw::thaw and what text needs.
#include <cstdio>
#include <thaw/text/pad.hpp>
#include <thaw/text/word_piece.hpp>

int main() {
  const auto tokenizer = thaw::text::WordPiece::of({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "caf", "##e"});
  const thaw::text::TokenBatch batch = thaw::text::pad({tokenizer.encode("Caf\xC3\xA9")}, tokenizer.padding());
  const auto sum = batch.input_ids.sum().item<std::int64_t>();
  std::printf("thaw: %lld\n", static_cast<long long>(sum));
  return sum == 2 + 4 + 5 + 3 ? 0 : 1;
}
