// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/image_list.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::test::write_text;
using thaw::vision::image_folder;
using thaw::vision::ImageList;

TEST_CASE("a folder per class: classes and images in the order of their names, whatever lies beside them") {
  const thaw::test::Folder folder;
  for (const char* name : {"dog/b.JPG", "dog/a.png", "cat/deep/c.jpeg", "cat/d.webp", "dog/notes.txt", ".hidden/x.png",
                           "cat/.y.png", "readme.md"})
    write_text(folder / name, "");
  const ImageList list = image_folder(folder.path);
  CHECK(list.classes == std::vector<std::string>{"cat", "dog"});
  REQUIRE(list.size() == 4);
  CHECK(list.items[0].path == folder / "cat/d.webp");
  CHECK(list.items[1].path == folder / "cat/deep/c.jpeg");
  CHECK(list.items[1].labels == std::vector<std::int64_t>{0});
  CHECK(list.items[3].labels == std::vector<std::int64_t>{1});
  CHECK(list.counts() == std::vector<std::int64_t>{2, 2});
}

TEST_CASE("a test set is numbered as its training set") {
  const thaw::test::Folder folder;
  write_text(folder / "dog/a.png", "");
  CHECK(image_folder(folder.path, {"cat", "dog"}).items[0].labels == std::vector<std::int64_t>{1});
  CHECK_THROWS_MATCHES(image_folder(folder.path, {"cat", "dogs"}), thaw::DataError,
                       MessageMatches(ContainsSubstring("a.png: its class \"dog\" is none of cat, dogs") &&
                                      ContainsSubstring("did you mean \"dogs\"?")));
}

TEST_CASE("folders without images, or with images of no class, are errors") {
  const thaw::test::Folder folder;
  CHECK_THROWS_MATCHES(image_folder(folder.path), thaw::DataError, MessageMatches(ContainsSubstring("no image in it")));
  CHECK_THROWS_MATCHES(image_folder(folder / "none"), thaw::FileError,
                       MessageMatches(ContainsSubstring("cannot be read")));
  write_text(folder / "a.png", "");
  CHECK_THROWS_MATCHES(image_folder(folder.path), thaw::DataError,
                       MessageMatches(ContainsSubstring("in no class's folder")));
}

TEST_CASE("masks beside images") {
  const thaw::test::Folder folder;
  for (const char* name : {"images/a.jpg", "images/b.jpg", "masks/a.png"}) write_text(folder / name, "");
  const auto mask_of = [&](const std::filesystem::path& image) {
    return folder / ("masks/" + image.stem().string() + ".png");
  };
  const ImageList list = thaw::vision::with_masks({folder / "images/a.jpg"}, {"back", "cell"}, mask_of);
  CHECK(list.items[0].mask == folder / "masks/a.png");
  CHECK(list.classes.size() == 2);
  CHECK_THROWS_MATCHES(thaw::vision::with_masks(thaw::vision::image_files(folder / "images"), {}, mask_of),
                       thaw::DataError,
                       MessageMatches(ContainsSubstring("b.jpg: its mask") && ContainsSubstring("does not exist")));
}

TEST_CASE("no class vanishes: images of rarer names count, and a class's folder without images is an error") {
  const thaw::test::Folder folder;
  for (const char* name : {"a/1.jpg", "c/1.jfif", "d/1.jpg", "e/1.PJPEG", "f/1.gif"}) write_text(folder / name, "");
  CHECK(image_folder(folder.path).classes == std::vector<std::string>{"a", "c", "d", "e", "f"});
  std::filesystem::create_directories(folder / "b");
  CHECK_THROWS_MATCHES(image_folder(folder.path), thaw::DataError,
                       MessageMatches(ContainsSubstring("b: a class's folder without an image that can be read")));
  CHECK(image_folder(folder.path, {"a", "b", "c", "d", "e", "f"}).items[1].labels == std::vector<std::int64_t>{2});
}

TEST_CASE("train/ and val/ are parts of a data set and no classes, unless they are named") {
  const thaw::test::Folder folder;
  for (const char* name : {"train/cat/1.jpg", "train/dog/1.jpg", "val/cat/1.jpg"}) write_text(folder / name, "");
  CHECK_THROWS_MATCHES(
      image_folder(folder.path), thaw::DataError,
      MessageMatches(ContainsSubstring("has train/, val/: parts of a data set") && ContainsSubstring("image_data")));
  CHECK(image_folder(folder.path, {"train", "val"}).size() == 3);
}

TEST_CASE("symbolic links that lead back up or nowhere are passed over, and named") {
  const thaw::test::Folder folder;
  for (const char* name : {"a/1.jpg", "b/1.jpg"}) write_text(folder / name, "");
  std::filesystem::create_directory_symlink("..", folder / "a/up");
  std::filesystem::create_symlink("none.jpg", folder / "b/2.jpg");
  std::vector<std::string> passed_over;
  CHECK(image_folder(folder.path, {}, &passed_over).size() == 2);
  REQUIRE(passed_over.size() == 2);
  CHECK_THAT(passed_over[0], ContainsSubstring("a/up: a link back"));
  CHECK_THAT(passed_over[1], ContainsSubstring("b/2.jpg: a link that leads nowhere"));
}
