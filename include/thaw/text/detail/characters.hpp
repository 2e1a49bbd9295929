// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>
#include <unicode/ustring.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <thaw/core/error.hpp>

namespace thaw::text::detail {

/// Characters as Hugging Face's tokenizers sees them. Its tables of categories are those of Unicode 8.0, and what they
/// do not know stands as it is; its decomposition is that of Unicode 12.1. ICU knows how old each character is, so that
/// its tables, of whichever Unicode, are cut to that. The characters named one by one had another category then.
struct Characters {
  icu::UnicodeSet control, accents, punctuation;

  static const Characters& get() {
    static const Characters characters;
    return characters;
  }

  /// Canonical decomposition (NFD).
  [[nodiscard]] icu::UnicodeString decomposed(const icu::UnicodeString& text) const {
    UErrorCode error = U_ZERO_ERROR;
    icu::UnicodeString result = static_cast<const icu::Normalizer2&>(nfd_).normalize(text, error);
    check(error);
    return result;
  }

 private:
  Characters()
      : control(set(u"[[[:Cc:][:Cf:][:Co:]]&[:age=8.0:]]")),
        accents(set(u"[[[:Mn:]&[:age=8.0:]][\\u1734]-[\\u1885\\u1886\\uA9BD\\U000111C9]]")),
        punctuation(set(u"[[[:P:]&[:age=8.0:]][\\u166D\\U000111C9][\\$+<=>\\^`|~]]")),
        decomposable_(set(u"[:age=12.1:]")),
        nfd_(canonical(), decomposable_) {}

  static icu::UnicodeSet set(const char16_t* pattern) {
    UErrorCode error = U_ZERO_ERROR;
    icu::UnicodeSet result(pattern, error);
    check(error);
    result.freeze();
    return result;
  }

  static const icu::Normalizer2& canonical() {
    UErrorCode error = U_ZERO_ERROR;
    const icu::Normalizer2* nfd = icu::Normalizer2::getNFDInstance(error);
    check(error);
    return *nfd;
  }

  static void check(UErrorCode error) {
    if (U_FAILURE(error) != 0)
      throw ConfigError("ICU", std::string("its tables cannot be used: ") + u_errorName(error),
                        "install ICU's library with its data");
  }

  icu::UnicodeSet decomposable_;
  icu::FilteredNormalizer2 nfd_;
};

/// A text in UTF-8 as ICU has it. Throws DataError for what is not UTF-8, or has more than 256 MB.
[[nodiscard]] inline icu::UnicodeString from_utf8(std::string_view text, const std::string& where) {
  constexpr std::size_t most = std::size_t{1} << 28;  // ICU counts in 32 bits
  if (text.size() > most) throw DataError(where, "the text has more than 256 MB", "cut it into parts");
  const auto size = static_cast<std::int32_t>(text.size());
  icu::UnicodeString result;
  std::int32_t length = 0;
  UErrorCode error = U_ZERO_ERROR;
  u_strFromUTF8(result.getBuffer(size), size, &length,
                text.data(),  // NOLINT(bugprone-suspicious-stringview-data-usage): its size is the next argument
                size, &error);
  result.releaseBuffer(U_SUCCESS(error) != 0 ? length : 0);
  if (U_FAILURE(error) != 0)
    throw DataError(where, "the text is not UTF-8", "convert it: `iconv -f LATIN1 -t UTF-8` does for most old files");
  return result;
}

/// Tokenizers' own table, with its gap between extensions D and E.
[[nodiscard]] constexpr bool is_chinese(UChar32 c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

}  // namespace thaw::text::detail
