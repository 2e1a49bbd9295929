// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/split.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <set>
#include <string>
#include <vector>

#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::vision::ImageList;
using thaw::vision::Split;

namespace {

/// So many of each class.
ImageList images_of(const std::vector<int>& counts) {
  ImageList list;
  for (std::size_t c = 0; c < counts.size(); ++c) {
    list.classes.push_back(std::string(1, static_cast<char>('a' + c)));
    for (int i = 0; i < counts[c]; ++i)
      list.items.push_back(
          {.path = list.classes[c] + "/" + std::to_string(i) + ".jpg", .labels = {static_cast<std::int64_t>(c)}});
  }
  return list;
}

std::set<std::string> paths_of(const ImageList& list) {
  std::set<std::string> paths;
  for (const auto& item : list.items) paths.insert(item.path.string());
  return paths;
}

/// Each image on one side, both sides with all classes.
bool whole_split(const Split& split, const ImageList& of) {
  std::set<std::string> both = paths_of(split.train);
  const std::set<std::string> valid = paths_of(split.valid);
  both.insert(valid.begin(), valid.end());
  return both == paths_of(of) && std::ssize(both) == split.train.size() + split.valid.size() &&
         split.train.classes == of.classes && split.valid.classes == of.classes;
}

}  // namespace

TEST_CASE("a random split holds back its fraction, and the seed fixes which") {
  const ImageList list = images_of({40, 60});
  const Split split = thaw::vision::random_split(list, 0.25, 1);
  CHECK(whole_split(split, list));
  CHECK(split.valid.size() == 25);
  CHECK(paths_of(split.valid) == paths_of(thaw::vision::random_split(list, 0.25, 1).valid));
  CHECK(paths_of(split.valid) != paths_of(thaw::vision::random_split(list, 0.25, 2).valid));
}

TEST_CASE("a stratified split holds back the fraction of each class, and leaves at least one on each side") {
  const ImageList list = images_of({100, 10, 2, 1});
  const Split split = thaw::vision::stratified_split(list, 0.2, 1);
  CHECK(whole_split(split, list));
  CHECK(split.valid.counts() == std::vector<std::int64_t>{20, 2, 1, 0});
  CHECK(thaw::vision::stratified_split(images_of({3}), 0.9).train.size() == 1);
  CHECK(paths_of(split.valid) != paths_of(thaw::vision::stratified_split(list, 0.2, 2).valid));
}

TEST_CASE("so many of each class to train on") {
  const ImageList list = images_of({30, 7});
  const Split split = thaw::vision::split_per_class(list, 5, 3);
  CHECK(whole_split(split, list));
  CHECK(split.train.counts() == std::vector<std::int64_t>{5, 5});
  CHECK_THROWS_MATCHES(thaw::vision::split_per_class(list, 7), thaw::DataError,
                       MessageMatches(ContainsSubstring("7 of 7 images of b")));
}

TEST_CASE("a split by a list of names") {
  const thaw::test::Folder folder;
  const ImageList list = images_of({3, 3});
  thaw::test::write_text(folder / "valid.txt", "a/0.jpg\r\n2.jpg\n\n");
  const Split split = thaw::vision::split_by_list(list, folder / "valid.txt");
  CHECK(paths_of(split.valid) == std::set<std::string>{"a/0.jpg", "a/2.jpg", "b/2.jpg"});
  thaw::test::write_text(folder / "valid.txt", "1\n");
  CHECK(thaw::vision::split_by_list(list, folder / "valid.txt").valid.size() == 2);
  thaw::test::write_text(folder / "valid.txt", "0.jpg\nc/9.jpg\n");
  CHECK_THROWS_MATCHES(thaw::vision::split_by_list(list, folder / "valid.txt"), thaw::DataError,
                       MessageMatches(ContainsSubstring("\"c/9.jpg\" is no image's name")));
}

TEST_CASE("a split with an empty side is refused") {
  const ImageList list = images_of({3});
  CHECK_THROWS_AS(thaw::vision::random_split(list, 1), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::vision::stratified_split(list, 0), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::vision::random_split(list, 0.1), thaw::DataError);
  CHECK_THROWS_MATCHES(thaw::vision::split_by(list, [](const auto&) { return true; }), thaw::DataError,
                       MessageMatches(ContainsSubstring("all images are held back")));
}
