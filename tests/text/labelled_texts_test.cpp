// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/text/labelled_texts.hpp>

#include "support/folder.hpp"

#include <ATen/ops/equal.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Strings = std::vector<std::string>;

namespace {

void write_text(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

}  // namespace

TEST_CASE("texts and labels come from two columns of a CSV file, classes by name") {
  const thaw::test::Folder folder;
  write_text(folder.path / "a.csv", "id,label,text\n1,good,\"well, fine\"\n2,bad,\"two\nlines\"\n3,good,x\n");
  const thaw::text::LabelledTexts read = thaw::text::text_csv(folder.path / "a.csv");
  CHECK(read.classes == Strings{"bad", "good"});
  CHECK(read.texts == Strings{"well, fine", "two\nlines", "x"});
  CHECK(read.labels == std::vector<std::int64_t>{1, 0, 1});
  CHECK(at::equal(read.target(), at::tensor({1, 0, 1}, at::kLong)));

  write_text(folder.path / "b.tsv", "sentence\tclass\na, b\tgood\n");
  const auto tsv = thaw::text::text_csv(
      folder.path / "b.tsv", {.text = "sentence", .label = "class", .delimiter = '\t', .classes = {"good", "bad"}});
  CHECK(tsv.texts == Strings{"a, b"});
  CHECK(tsv.labels == std::vector<std::int64_t>{0});
  CHECK(tsv.classes == Strings{"good", "bad"});
}

TEST_CASE("a CSV file of texts without the column, without rows, or with an unknown class is an error") {
  const thaw::test::Folder folder;
  const auto path = folder.path / "a.csv";
  write_text(path, "text,label\nx,good\ny,odd\n");
  CHECK_THROWS_MATCHES(thaw::text::text_csv(path, {.text = "body"}), thaw::DataError,
                       MessageMatches(ContainsSubstring("no column \"body\"") && ContainsSubstring("text, label")));
  CHECK_THROWS_MATCHES(
      thaw::text::text_csv(path, {.classes = {"good", "bad"}}), thaw::DataError,
      MessageMatches(ContainsSubstring("a.csv, row 2") && ContainsSubstring("\"odd\" is none of good, bad")));
  write_text(path, "text,label\n");
  CHECK_THROWS_MATCHES(thaw::text::text_csv(path), thaw::DataError, MessageMatches(ContainsSubstring("has no texts")));
  CHECK_THROWS_AS(thaw::text::text_csv(folder.path / "none.csv"), thaw::FileError);
}

TEST_CASE("texts come from the files of one folder per class, in the order of their names") {
  const thaw::test::Folder folder;
  write_text(folder.path / "pos/2.txt", "two");
  write_text(folder.path / "pos/1.txt", "one\n");
  write_text(folder.path / "neg/1.txt", "");
  write_text(folder.path / "neg/notes.md", "no text");
  write_text(folder.path / "readme.txt", "in no class");
  const thaw::text::LabelledTexts read = thaw::text::text_folder(folder.path);
  CHECK(read.classes == Strings{"neg", "pos"});
  CHECK(read.texts == Strings{"", "one\n", "two"});
  CHECK(read.labels == std::vector<std::int64_t>{0, 1, 1});
  CHECK(thaw::text::text_folder(folder.path, {"pos", "neg"}).labels == std::vector<std::int64_t>{1, 0, 0});
  CHECK_THROWS_MATCHES(thaw::text::text_folder(folder.path, {"pos"}), thaw::DataError,
                       MessageMatches(ContainsSubstring("neg/1.txt") && ContainsSubstring("is none of pos")));
}

TEST_CASE("a folder without texts, and one that is not there, are errors") {
  const thaw::test::Folder folder;
  CHECK_THROWS_MATCHES(thaw::text::text_folder(folder.path), thaw::DataError,
                       MessageMatches(ContainsSubstring("there is no text in it")));
  CHECK_THROWS_MATCHES(thaw::text::text_folder(folder.path / "none"), thaw::FileError,
                       MessageMatches(ContainsSubstring("none: cannot be read")));
}

TEST_CASE("a TSV with bare quotes keeps its rows, a label its class whatever spaces stand around it") {
  const thaw::test::Folder folder;
  const auto path = folder.path / "a.tsv";
  write_text(path, "label\ttext\n1\t\"a\n0\tb\n");
  CHECK(thaw::text::text_csv(path, {.delimiter = '\t'}).texts == Strings{"\"a", "b"});
  write_text(path, "label, text\ndog,a\n dog ,b\n\" dog\",\" c\"\n");
  const thaw::text::LabelledTexts read = thaw::text::text_csv(path);
  CHECK(read.classes == Strings{"dog"});
  CHECK(read.texts == Strings{"a", "b", " c"});
}

TEST_CASE("a table of texts without a line of names is read by numbers of columns, as AG News") {
  const thaw::test::Folder folder;
  const auto path = folder.path / "a.csv";
  const std::string news = "\"3\",\"Title\",\"One\"\n\"4\",\"Title\",\"Two\"\n\"3\",\"Title\",\"Three\"\n";
  write_text(path, news);
  const thaw::text::LabelledTexts read = thaw::text::text_csv(path, {.text = 2, .label = 0});
  CHECK(read.texts == Strings{"One", "Two", "Three"});
  CHECK(read.classes == Strings{"3", "4"});
  CHECK_THROWS_MATCHES(thaw::text::text_csv(path), thaw::DataError,
                       MessageMatches(ContainsSubstring("no column \"text\"") &&
                                      ContainsSubstring("say by a number which column it is")));
  CHECK_THROWS_MATCHES(thaw::text::text_csv(path, {.text = 3, .label = 0}), thaw::DataError,
                       MessageMatches(ContainsSubstring("no column 3")));
  CHECK_THROWS_MATCHES(thaw::text::text_csv(path, {.header = false}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("given by its name")));

  write_text(path, "Class Index,Title,Description\n" + news);
  CHECK_THROWS_MATCHES(thaw::text::text_csv(path, {.text = 2, .label = 0}), thaw::DataError,
                       MessageMatches(ContainsSubstring("may be one of names") && ContainsSubstring("Class Index")));
  CHECK(thaw::text::text_csv(path, {.text = 2, .label = 0, .header = true}).texts.size() == 3);
  CHECK(thaw::text::text_csv(path, {.text = 2, .label = 0, .header = false}).texts.size() == 4);
}

TEST_CASE("no class of texts vanishes: .TXT and folders below count, and a folder without texts is an error") {
  const thaw::test::Folder folder;
  write_text(folder.path / "a/1.txt", "x");
  write_text(folder.path / "b/1.TXT", "y");
  write_text(folder.path / "c/deep/1.txt", "z");
  const thaw::text::LabelledTexts read = thaw::text::text_folder(folder.path);
  CHECK(read.classes == Strings{"a", "b", "c"});
  CHECK(read.texts == Strings{"x", "y", "z"});
  write_text(folder.path / "bb/notes.md", "");
  CHECK_THROWS_MATCHES(thaw::text::text_folder(folder.path), thaw::DataError,
                       MessageMatches(ContainsSubstring("bb: a class's folder without a text")));
  CHECK(thaw::text::text_folder(folder.path, {"a", "b", "c", "bb"}).labels == std::vector<std::int64_t>{0, 1, 2});
}

TEST_CASE("links among texts that lead nowhere or back up are passed over, and named") {
  const thaw::test::Folder folder;
  write_text(folder.path / "a/1.txt", "x");
  std::filesystem::create_directory_symlink("..", folder.path / "a/up");
  std::filesystem::create_symlink("none", folder.path / "a/2.txt");
  Strings passed_over;
  CHECK(thaw::text::text_folder(folder.path, {}, &passed_over).texts == Strings{"x"});
  REQUIRE(passed_over.size() == 2);
  CHECK_THAT(passed_over[1], ContainsSubstring("a/up: a link back"));
}

TEST_CASE("train/ and test/ of texts are no classes") {
  const thaw::test::Folder folder;
  write_text(folder.path / "train/pos/1.txt", "x");
  write_text(folder.path / "test/pos/1.txt", "y");
  CHECK_THROWS_MATCHES(thaw::text::text_folder(folder.path), thaw::DataError,
                       MessageMatches(ContainsSubstring("has test/, train/: parts of a data set")));
}

TEST_CASE("a text is UTF-8, without a byte order mark; what is none is an error that names it") {
  const thaw::test::Folder folder;
  write_text(folder.path / "pos/1.txt", "\xEF\xBB\xBFgood");
  write_text(folder.path / "neg/1.txt", "bad");
  CHECK(thaw::text::text_folder(folder.path).texts == Strings{"bad", "good"});
  write_text(folder.path / "neg/1.txt", "na\xEFve");
  CHECK_THROWS_MATCHES(thaw::text::text_folder(folder.path), thaw::DataError,
                       MessageMatches(ContainsSubstring("neg/1.txt:1: no UTF-8")));
}

TEST_CASE("labels that are empty, or spellings of one, are errors") {
  const thaw::test::Folder folder;
  const auto refused = [&](const std::string& table, const std::string& what) {
    write_text(folder.path / "a.csv", table);
    CHECK_THROWS_MATCHES(thaw::text::text_csv(folder.path / "a.csv"), thaw::DataError,
                         MessageMatches(ContainsSubstring(what)));
  };
  refused("text,label\nx,good\ny,\n", "a.csv, row 2: its class is empty");
  refused("text,label\nx,1\ny,1.0\n", "a.csv: \"1\" and \"1.0\" are one number");
  write_text(folder.path / "Pos/1.txt", "x");
  write_text(folder.path / "pos/1.txt", "y");
  CHECK_THROWS_MATCHES(thaw::text::text_folder(folder.path), thaw::DataError,
                       MessageMatches(ContainsSubstring("\"Pos\" and \"pos\" differ in case alone")));
}
