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
  const thaw::LabelledTexts read = thaw::text_csv(folder.path / "a.csv");
  CHECK(read.classes == Strings{"bad", "good"});
  CHECK(read.texts == Strings{"well, fine", "two\nlines", "x"});
  CHECK(read.labels == std::vector<std::int64_t>{1, 0, 1});
  CHECK(at::equal(read.target(), at::tensor({1, 0, 1}, at::kLong)));

  write_text(folder.path / "b.tsv", "sentence\tclass\na, b\tgood\n");
  const auto tsv = thaw::text_csv(
      folder.path / "b.tsv", {.text = "sentence", .label = "class", .delimiter = '\t', .classes = {"good", "bad"}});
  CHECK(tsv.texts == Strings{"a, b"});
  CHECK(tsv.labels == std::vector<std::int64_t>{0});
  CHECK(tsv.classes == Strings{"good", "bad"});
}

TEST_CASE("a CSV file of texts without the column, without rows, or with an unknown class is an error") {
  const thaw::test::Folder folder;
  const auto path = folder.path / "a.csv";
  write_text(path, "text,label\nx,good\ny,odd\n");
  CHECK_THROWS_MATCHES(thaw::text_csv(path, {.text = "body"}), thaw::DataError,
                       MessageMatches(ContainsSubstring("no column \"body\"") && ContainsSubstring("text, label")));
  CHECK_THROWS_MATCHES(
      thaw::text_csv(path, {.classes = {"good", "bad"}}), thaw::DataError,
      MessageMatches(ContainsSubstring("a.csv, row 2") && ContainsSubstring("\"odd\" is none of good, bad")));
  write_text(path, "text,label\n");
  CHECK_THROWS_MATCHES(thaw::text_csv(path), thaw::DataError, MessageMatches(ContainsSubstring("has no texts")));
  CHECK_THROWS_AS(thaw::text_csv(folder.path / "none.csv"), thaw::FileError);
}

TEST_CASE("texts come from the files of one folder per class, in the order of their names") {
  const thaw::test::Folder folder;
  write_text(folder.path / "pos/2.txt", "two");
  write_text(folder.path / "pos/1.txt", "one\n");
  write_text(folder.path / "neg/1.txt", "");
  write_text(folder.path / "neg/notes.md", "no text");
  write_text(folder.path / "readme.txt", "in no class");
  const thaw::LabelledTexts read = thaw::text_folder(folder.path);
  CHECK(read.classes == Strings{"neg", "pos"});
  CHECK(read.texts == Strings{"", "one\n", "two"});
  CHECK(read.labels == std::vector<std::int64_t>{0, 1, 1});
  CHECK(thaw::text_folder(folder.path, {"pos", "neg"}).labels == std::vector<std::int64_t>{1, 0, 0});
  CHECK_THROWS_MATCHES(thaw::text_folder(folder.path, {"pos"}), thaw::DataError,
                       MessageMatches(ContainsSubstring("neg/1.txt") && ContainsSubstring("is none of pos")));
}

TEST_CASE("a folder without texts, and one that is not there, are errors") {
  const thaw::test::Folder folder;
  CHECK_THROWS_MATCHES(thaw::text_folder(folder.path), thaw::DataError,
                       MessageMatches(ContainsSubstring("there is no text in it")));
  CHECK_THROWS_MATCHES(thaw::text_folder(folder.path / "none"), thaw::FileError,
                       MessageMatches(ContainsSubstring("none: cannot be read")));
}
