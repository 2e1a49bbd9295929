// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/text/detail/truncate.hpp>
#include <thaw/text/detail/words.hpp>
#include <thaw/text/tokens.hpp>

namespace thaw::text {

/// The defaults are those of uncased models, and of Hugging Face's BertTokenizer; for a cased one, lower_case = false.
struct WordPieceOptions {
  bool lower_case = true;
  std::optional<bool> strip_accents = {};  ///< as lower_case where it is not given
  bool split_chinese = true;               ///< each Chinese character is a word
};

/// BERT's tokenizer: from text in UTF-8 to the numbers that its weights were trained on, and back.
///
/// Equal to Hugging Face's BertTokenizer of transformers 5, which is BertTokenizerFast of transformers 4 and what
/// AutoTokenizer gives in both: the library tokenizers. The older one in Python (BertTokenizer of transformers 4)
/// differs in rare characters; docs/text.md says in which.
///
/// A text is cut into words (see WordPieceOptions), each word from its begin into the longest pieces that the
/// vocabulary has, of which those after the first begin with "##" there. A word that cannot be cut, or has more than
/// 100 characters, is [UNK]. A special token's name in a text, such as [SEP], is that token. May be used by several
/// threads at once.
/// Source: arXiv:1810.04805; tokenizers 0.22 and 0.23.
///
///     const thaw::text::WordPiece tokenizer{"vocab.txt"};
///     const thaw::text::TokenBatch batch = thaw::text::pad(tokenizer.encode(texts, 128), tokenizer.padding());
///     at::Tensor logits = model->forward(batch.input_ids, batch.attention_mask, batch.token_type_ids);
class WordPiece {
 public:
  /// Reads a vocab.txt: a token per line, numbered from 0. Of a token that is there twice, the last number counts.
  /// Throws FileError for a file that cannot be read or is not UTF-8, and for one without [PAD], [UNK], [CLS] and
  /// [SEP].
  explicit WordPiece(const std::filesystem::path& vocabulary, const WordPieceOptions& options = {})
      : WordPiece(read(vocabulary), options, vocabulary.string()) {}

  /// From the tokens themselves. Throws FileError as above, naming "WordPiece".
  [[nodiscard]] static WordPiece of(std::vector<std::string> tokens, const WordPieceOptions& options = {}) {
    return {std::move(tokens), options, "WordPiece"};
  }

  /// How many tokens there are: a model's `vocabulary`.
  [[nodiscard]] std::int64_t size() const { return std::ssize(tokens_); }
  /// The number of a token, where there is one.
  [[nodiscard]] std::optional<std::int64_t> id(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  /// The token of a number. Throws DataError for one that no token has.
  [[nodiscard]] const std::string& token(std::int64_t id) const {
    if (id < 0 || id >= size())
      throw DataError("WordPiece", "there is no token " + std::to_string(id),
                      "give numbers from 0 to " + std::to_string(size() - 1));
    return tokens_[static_cast<std::size_t>(id)];
  }
  /// The number of [PAD].
  [[nodiscard]] std::int64_t padding() const { return padding_; }
  /// Whether it is [PAD], [UNK], [CLS], [SEP] or [MASK].
  [[nodiscard]] bool is_special(std::int64_t id) const {
    return std::ranges::find(special_, token(id)) != special_.end();
  }

  /// The pieces of a text, without [CLS] and [SEP]. Throws DataError for what is not UTF-8.
  [[nodiscard]] std::vector<std::int64_t> pieces(std::string_view text) const {
    std::vector<std::int64_t> ids;
    const std::string_view all = text;
    std::size_t begin = 0;
    const auto cut = [&](std::size_t end) {
      const auto take = [&](const std::string& word) { append_pieces(word, ids); };
      detail::for_each_word(all.substr(begin, end - begin), how_, "WordPiece", take);
    };
    for (std::size_t at = all.find('['); at != std::string_view::npos; at = all.find('[', at)) {
      const std::string_view rest = all.substr(at);
      const auto name = std::ranges::find_if(special_, [&](const char* special) { return rest.starts_with(special); });
      const std::optional<std::int64_t> known = name == special_.end() ? std::nullopt : id(*name);
      if (!known) {
        ++at;
        continue;
      }
      cut(at);
      ids.push_back(*known);
      begin = at += std::string_view(*name).size();
    }
    cut(all.size());
    return ids;
  }

  /// [CLS] text [SEP], in at most `max_tokens` tokens, of which the last ones of the text are cut off; 0: all.
  /// Throws DataError for what is not UTF-8, ConfigError for less than 2 tokens.
  [[nodiscard]] Tokens encode(std::string_view text, std::int64_t max_tokens = 0) const {
    std::vector<std::int64_t> first = pieces(text), second;
    detail::truncate(first, second, max_tokens, 2);
    Tokens tokens;
    append(tokens, {classify_}, 0);
    append(tokens, first, 0);
    append(tokens, {separate_}, 0);
    return tokens;
  }

  /// [CLS] first [SEP] second [SEP], the second of type 1. Where they are too long, the longer one is cut until it is
  /// as long as the other, then both. Throws as above, ConfigError for less than 3 tokens.
  [[nodiscard]] Tokens encode(std::string_view text, std::string_view other, std::int64_t max_tokens = 0) const {
    std::vector<std::int64_t> first = pieces(text), second = pieces(other);
    detail::truncate(first, second, max_tokens, 3);
    Tokens tokens;
    append(tokens, {classify_}, 0);
    append(tokens, first, 0);
    append(tokens, {separate_}, 0);
    append(tokens, second, 1);
    append(tokens, {separate_}, 1);
    return tokens;
  }

  /// Each of several texts. An error names the text's place among them.
  [[nodiscard]] std::vector<Tokens> encode(const std::vector<std::string>& texts, std::int64_t max_tokens = 0) const {
    std::vector<Tokens> result;
    result.reserve(texts.size());
    for (const std::string& text : texts) try {
        result.push_back(encode(text, max_tokens));
      } catch (const DataError& error) {
        throw DataError("WordPiece, text " + std::to_string(result.size()), error.problem(), error.fix());
      }
    return result;
  }

  /// The text of tokens: pieces joined, words apart, but for marks such as a full stop. What the vocabulary does not
  /// have is lost, and so are accents and capitals where they were taken off. Throws DataError for numbers that no
  /// token has.
  [[nodiscard]] std::string decode(const std::vector<std::int64_t>& ids, bool skip_special = false) const {
    static constexpr std::array unspaced{".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    std::string text;
    bool first = true;
    for (const std::int64_t id : ids) {
      std::string_view piece = token(id);
      if (skip_special && is_special(id)) continue;
      if (!std::exchange(first, false)) {
        if (piece.starts_with("##"))
          piece.remove_prefix(2);
        else if (std::ranges::none_of(unspaced, [&](const char* mark) { return piece.starts_with(mark); }))
          text += ' ';
      }
      text += piece;
    }
    return text;
  }

 private:
  static constexpr std::array special_{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  static constexpr std::int64_t max_characters_ = 100;  // of a word

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  WordPiece(std::vector<std::string> tokens, const WordPieceOptions& options, const std::string& where)
      : tokens_(std::move(tokens)),
        how_{.lower_case = options.lower_case,
             .strip_accents = options.strip_accents.value_or(options.lower_case),
             .split_chinese = options.split_chinese} {
    for (std::size_t i = 0; i < tokens_.size(); ++i) ids_.insert_or_assign(tokens_[i], static_cast<std::int64_t>(i));
    const auto required = [&](const char* name) {
      if (const auto number = id(name)) return *number;
      throw FileError(where, "its " + std::to_string(size()) + " tokens have no " + name,
                      "give the vocab.txt of a BERT: a token per line, [PAD], [UNK], [CLS] and [SEP] among them");
    };
    padding_ = required("[PAD]"), unknown_ = required("[UNK]"), classify_ = required("[CLS]"),
    separate_ = required("[SEP]");
  }

  static std::vector<std::string> read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw FileError(path.string(), "cannot be opened", "name the vocab.txt that belongs to the weights");
    std::vector<std::string> tokens;
    for (std::string line; std::getline(file, line);) {
      if (line.ends_with('\r')) line.pop_back();
      try {
        (void)detail::from_utf8(line, "");
      } catch (const DataError& error) {
        throw FileError(path.string() + ":" + std::to_string(tokens.size() + 1), error.problem(),
                        "name a vocab.txt, a token in UTF-8 per line");
      }
      tokens.push_back(std::move(line));
    }
    if (file.bad()) throw FileError(path.string(), "cannot be read", "name a file, not a folder");
    return tokens;
  }

  /// The longest pieces from left to right, or [UNK].
  void append_pieces(const std::string& word, std::vector<std::int64_t>& ids) const {
    if (std::ranges::count_if(word, begins_character) > max_characters_) return ids.push_back(unknown_);
    const std::size_t before = ids.size();
    std::size_t prefix = 0;  // bytes of "##" before what is left of the word
    for (std::string rest = word; rest.size() > prefix; prefix = 2) {
      std::size_t end = rest.size();
      auto found = ids_.find(rest);
      while (found == ids_.end() && end > prefix) {
        do --end;
        while (!begins_character(rest[end]));
        found = ids_.find(std::string_view(rest).substr(0, end));
      }
      if (found == ids_.end() || end <= prefix) {
        ids.resize(before);
        return ids.push_back(unknown_);
      }
      ids.push_back(found->second);
      rest = "##" + rest.substr(end);
    }
  }

  static bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

  static void append(Tokens& tokens, const std::vector<std::int64_t>& ids, std::int64_t type) {
    tokens.ids.insert(tokens.ids.end(), ids.begin(), ids.end());
    tokens.types.insert(tokens.types.end(), ids.size(), type);
  }

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> ids_;
  detail::Normalization how_;
  std::int64_t padding_ = 0, unknown_ = 0, classify_ = 0, separate_ = 0;
};

}  // namespace thaw::text
