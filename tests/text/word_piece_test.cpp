// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/text/word_piece.hpp>

#include "support/data.hpp"
#include "support/folder.hpp"

#include <unicode/uchar.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>
#include <set>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::text::WordPiece;
using Ids = std::vector<std::int64_t>;

namespace {

const nlohmann::json& hugging_face() {
  static const nlohmann::json fixture = thaw::test::json_fixture("text/word_piece.json");
  return fixture;
}

std::vector<WordPiece> tokenizers() {  // in the order of the fixture's modes
  std::vector<WordPiece> result;
  for (const thaw::text::WordPieceOptions& options : {thaw::text::WordPieceOptions{},
                                                {.lower_case = false},
                                                {.strip_accents = false},
                                                {.lower_case = false, .strip_accents = true},
                                                {.split_chinese = false}})
    result.push_back(WordPiece::of(hugging_face()["vocabulary"].get<std::vector<std::string>>(), options));
  return result;
}

WordPiece small(std::vector<std::string> tokens) {
  std::vector<std::string> all{"[PAD]", "[UNK]", "[CLS]", "[SEP]"};
  all.insert(all.end(), tokens.begin(), tokens.end());
  return WordPiece::of(all);
}

std::string fnv(const std::string& text) {
  std::uint64_t value = 0xCBF29CE484222325;
  for (const char byte : text) value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
  std::string digits = "0123456789abcdef", result;
  for (int shift = 60; shift >= 0; shift -= 4) result += digits[(value >> shift) & 15];
  return result;
}

void append_joined(std::string& all, const std::string& part, char between) {
  if (!all.empty()) all += between;
  all += part;
}

std::string joined(const Ids& ids) {
  std::string text;
  for (const std::int64_t id : ids) append_joined(text, std::to_string(id), ' ');
  return text;
}

std::filesystem::path vocabulary_file(const std::filesystem::path& folder, const std::string& content) {
  std::ofstream(folder / "vocab.txt", std::ios::binary) << content;
  return folder / "vocab.txt";
}

}  // namespace

TEST_CASE("odd texts have the tokens that Hugging Face's BertTokenizer gives, cased or not, with accents or without") {
  const std::vector<WordPiece> by_mode = tokenizers();
  REQUIRE(hugging_face()["texts"].size() == 1200);
  for (const auto& each : hugging_face()["texts"]) {
    CAPTURE(each.dump());
    const auto text = each[1].get<std::string>();
    CHECK(by_mode[each[0].get<std::size_t>()].encode(text).ids == each[2].get<Ids>());
  }
}

TEST_CASE("every character of Unicode is cleaned, split, stripped and lowered as by Hugging Face's BertTokenizer") {
  const auto& characters = hugging_face()["characters"];
  const auto new_letters = characters["new_letters"].get<std::set<UChar32>>();
  const auto block = characters["block"].get<UChar32>();
  REQUIRE(characters["digests"].size() * static_cast<std::size_t>(block) == 0x110000);
  UChar32 c = 0;
  for (const auto& expected : characters["digests"]) {
    std::string words;
    for (const UChar32 end = c + block; c < end; ++c) {
      if ((c >= 0xD800 && c < 0xE000) || new_letters.contains(c)) continue;
      std::string text;
      icu::UnicodeString(u"A").append(c).append(u'b').toUTF8String(text);
      thaw::text::detail::for_each_word(text, {}, "", [&](const std::string& word) { append_joined(words, word, '\n'); });
    }
    CAPTURE(c - block);
    CHECK(fnv(words) == expected);
  }
}

TEST_CASE("pairs are cut, numbered by type and decoded as by Hugging Face's BertTokenizer") {
  const WordPiece tokenizer = tokenizers()[0];
  const auto& texts = hugging_face()["texts"];
  REQUIRE(hugging_face()["pairs"].size() == 300);
  for (std::size_t i = 0; i < 300; ++i) {
    const auto& each = hugging_face()["pairs"][i];
    CAPTURE(each.dump());
    const auto first = texts[each[0].get<std::size_t>()][1].get<std::string>(),
               second = texts[each[1].get<std::size_t>()][1].get<std::string>();
    const auto most = each[2].get<std::int64_t>();
    const thaw::text::Tokens pair = tokenizer.encode(first, second, most);
    CHECK(pair.ids == each[3].get<Ids>());
    CHECK(pair.types == each[4].get<Ids>());
    CHECK(tokenizer.encode(first, most).ids == each[5].get<Ids>());
    CHECK(tokenizer.decode(pair.ids, i % 2 == 1) == each[6]);
  }
}

TEST_CASE("with the real vocabulary of bert-base-uncased and MiniLM, tokens are Hugging Face's") {
  const WordPiece tokenizer{thaw::test::test_data("all-MiniLM-L6-v2/vocab.txt")};
  CHECK(tokenizer.size() == 30522);
  std::size_t i = 0;
  for (const auto& expected : hugging_face()["real"]) {
    std::string ids;
    for (const std::size_t end = i + 100; i < end; ++i)
      append_joined(ids, joined(tokenizer.encode(hugging_face()["texts"][i][1].get<std::string>(), 0).ids), '\n');
    CHECK(fnv(ids) == expected);
  }
  CHECK(i == 1200);
}

TEST_CASE("words are cut from the begin into the longest pieces, or are [UNK]") {
  const WordPiece tokenizer = small({"un", "unf", "##f", "##freez", "##ing", "freez", "##", "#", ""});
  CHECK(tokenizer.pieces("unfreezing") == Ids{1});  // "unf" is longest, and "##reez" is not there
  CHECK(tokenizer.pieces("freezing FREEZ") == Ids{9, 8, 9});
  CHECK(tokenizer.pieces("unff #") == Ids{5, 6, 11});
  CHECK(tokenizer.pieces("freezing" + std::string(93, 'f')) == Ids{1});  // 101 characters
  CHECK(tokenizer.pieces("unf" + std::string(97, 'f')).size() == 98);
  CHECK(tokenizer.pieces("").empty());
  CHECK(tokenizer.encode(" \n").ids == Ids{2, 3});
  CHECK(tokenizer.encode("un", "un").types == Ids{0, 0, 0, 1, 1});
  CHECK(tokenizer.decode({9, 8, 4, 1}) == "freezing un [UNK]");
  CHECK(tokenizer.decode({2, 9, 8, 3}, true) == "freezing");
}

TEST_CASE("several texts are encoded in their order, and an error names the one it is in") {
  const WordPiece tokenizer = small({"a", "b"});
  const auto tokens = tokenizer.encode(std::vector<std::string>{"a b", "b"}, 3);
  REQUIRE(tokens.size() == 2);
  CHECK(tokens[0].ids == Ids{2, 4, 3});
  CHECK(tokens[1].ids == Ids{2, 5, 3});
  CHECK_THROWS_MATCHES(tokenizer.encode(std::vector<std::string>{"a", "b\xFF"}), thaw::DataError,
                       MessageMatches(ContainsSubstring("text 1: the text is not UTF-8")));
}

TEST_CASE("what is not UTF-8 is an error: half a character, a surrogate, Latin-1, one written too long") {
  const WordPiece tokenizer = small({"a"});
  for (const char* text : {"a\xC3", "\xED\xA0\x80", "caf\xE9", "\xC0\xAF", "\xF4\x90\x80\x80"})
    CHECK_THROWS_AS(tokenizer.pieces(text), thaw::DataError);
}

TEST_CASE("a text that ICU cannot count is an error before it is looked at") {
  const std::string_view claimed("a", (std::size_t{1} << 28) + 1);
  CHECK_THROWS_MATCHES(thaw::text::detail::for_each_word(claimed, {}, "here", [](const std::string&) {}), thaw::DataError,
                       MessageMatches(ContainsSubstring("more than 256 MB")));
}

TEST_CASE("a limit without room for [CLS] and [SEP], and a number that no token has, are errors") {
  const WordPiece tokenizer = small({"a"});
  CHECK(tokenizer.encode("a", 2).ids == Ids{2, 3});
  CHECK_THROWS_AS(tokenizer.encode("a", 1), thaw::ConfigError);
  CHECK_THROWS_AS(tokenizer.encode("a", -1), thaw::ConfigError);
  CHECK_THROWS_MATCHES(tokenizer.encode("a", "a", 2), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("give at least 3")));
  CHECK_THROWS_MATCHES(tokenizer.decode({0, 5}), thaw::DataError,
                       MessageMatches(ContainsSubstring("there is no token 5") && ContainsSubstring("0 to 4")));
  CHECK_THROWS_AS(tokenizer.token(-1), thaw::DataError);
}

TEST_CASE("a vocabulary is read a token per line, whatever ends the lines; the last of two alike counts") {
  const thaw::test::Folder folder;
  for (const char* content : {"[PAD]\n[UNK]\n[CLS]\n[SEP]\n\xC3\xA9t\xC3\xA9\na\na\n",
                              "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n\xC3\xA9t\xC3\xA9\r\na\r\na"}) {
    const WordPiece tokenizer(vocabulary_file(folder.path, content), {.strip_accents = false});
    CHECK(tokenizer.size() == 7);
    CHECK(tokenizer.pieces("a \xC3\x89T\xC3\x89") == Ids{6, 4});
    CHECK(tokenizer.token(5) == "a");
    CHECK(tokenizer.id("[MASK]") == std::nullopt);
    CHECK(tokenizer.is_special(3));
    CHECK_FALSE(tokenizer.is_special(4));
    CHECK(tokenizer.padding() == 0);
  }
}

TEST_CASE("a vocabulary that is none is an error that says what is wrong with the file") {
  const thaw::test::Folder folder;
  const auto fails = [&](const std::string& content, const std::string& problem) {
    CHECK_THROWS_MATCHES(WordPiece(vocabulary_file(folder.path, content)), thaw::FileError,
                         MessageMatches(ContainsSubstring("vocab.txt") && ContainsSubstring(problem)));
  };
  fails("", "its 0 tokens have no [PAD]");
  fails("[PAD]\n[UNK]\n[SEP]\na\n", "its 4 tokens have no [CLS]");
  fails("{\"version\": \"1.0\"}\n", "have no [PAD]");
  fails("[PAD]\n[UNK]\n\xFF\n", "vocab.txt:3: the text is not UTF-8");
  CHECK_THROWS_MATCHES(WordPiece(folder.path / "none.txt"), thaw::FileError,
                       MessageMatches(ContainsSubstring("none.txt: cannot be opened")));
  CHECK_THROWS_AS(WordPiece(folder.path), thaw::FileError);
}
