// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <thaw/text/detail/characters.hpp>

namespace thaw::text::detail {

/// What is done to a text before it is cut into words.
struct Normalization {
  bool lower_case = true, strip_accents = true, split_chinese = true;
};

/// Calls `take(word)` with each word, in UTF-8, of what tokenizers' BertNormalizer and BertPreTokenizer make of a text:
/// control characters removed, Chinese ones on their own, accents off, lower case; words end at white space, and each
/// punctuation mark is one. Every character is lowered by itself, so that a final sigma stays a common one.
template <class Take>
void for_each_word(std::string_view text, const Normalization& how, const std::string& where, Take take) {
  const Characters& characters = Characters::get();
  const icu::UnicodeString given = from_utf8(text, where);
  icu::UnicodeString clean;
  bool ascii = true;
  for (std::int32_t i = 0; i < given.length(); i = given.moveIndex32(i, 1)) {
    const UChar32 c = given.char32At(i);
    ascii = ascii && c < 0x80;
    if (c == '\t' || c == '\n' || c == '\r')
      clean.append(u' ');
    else if (c == 0xFFFD || characters.control.contains(c))
      continue;
    else if (how.split_chinese && is_chinese(c))
      clean.append(u' ').append(c).append(u' ');
    else
      clean.append(c);
  }
  if (how.strip_accents && !ascii) clean = characters.decomposed(clean);

  icu::UnicodeString word;
  const auto end_word = [&] {
    if (word.isEmpty()) return;
    std::string utf8;
    take(word.toUTF8String(utf8));
    word.remove();
  };
  for (std::int32_t i = 0; i < clean.length(); i = clean.moveIndex32(i, 1)) {
    UChar32 c = clean.char32At(i);
    if (how.strip_accents && characters.accents.contains(c)) continue;
    if (how.lower_case && c == 0x130) {  // the one letter whose lower case is two characters
      word.append(u'i').append(UChar32{0x307});
      continue;
    }
    if (how.lower_case) c = u_tolower(c);
    if (u_isUWhiteSpace(c) != 0) {
      end_word();
    } else if (characters.punctuation.contains(c)) {
      end_word();
      word.append(c);
      end_word();
    } else {
      word.append(c);
    }
  }
  end_word();
}

}  // namespace thaw::text::detail
