// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/image_data.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::test::Folder;
using thaw::test::write_text;
using thaw::vision::image_data;
using thaw::vision::ImageData;
using thaw::vision::ImageDataOptions;

namespace {

using Counts = std::vector<std::int64_t>;
using Names = std::vector<std::string>;

/// So many empty files, 0.jpg, 1.jpg, ..., which nobody reads here.
void put(const Folder& folder, const std::string& name, int count) {
  for (int i = 0; i < count; ++i) write_text(folder / (name + "/" + std::to_string(i) + ".jpg"), "");
}

std::set<std::string> paths_of(const thaw::vision::ImageList& list) {
  std::set<std::string> paths;
  for (const auto& item : list.items) paths.insert(item.path.string());
  return paths;
}

template <class E = thaw::DataError>
void refused(const std::filesystem::path& path, const std::string& what, const std::string& fix,
             const ImageDataOptions& options = {}) {
  CHECK_THROWS_MATCHES(image_data(path, options), E,
                       MessageMatches(ContainsSubstring(what) && ContainsSubstring("fix: ") && ContainsSubstring(fix)));
}

}  // namespace

TEST_CASE("train/ and valid/, by any of its names and in any case, and test/ besides") {
  for (const std::string name : {"valid", "val", "validation", "Val", "VALIDATION"}) {
    const Folder folder;
    put(folder, "train/cat", 3), put(folder, "train/dog", 2), put(folder, name + "/cat", 1),
        put(folder, name + "/dog", 4);
    const ImageData data = image_data(folder.path);
    CHECK(data.train.classes == Names{"cat", "dog"});
    CHECK(data.valid.classes == data.train.classes);
    CHECK(data.train.counts() == Counts{3, 2});
    CHECK(data.valid.counts() == Counts{1, 4});
    CHECK(data.test.items.empty());
    CHECK(data.how == "5 images in train/, 5 in " + name + "/, 2 classes");
    put(folder, "Test/dog", 2);
    const ImageData with_test = image_data(folder / "");
    CHECK(with_test.test.counts() == Counts{0, 2});
    CHECK(with_test.valid.size() == 5);
    CHECK(with_test.how == "5 images in train/, 5 in " + name + "/, 2 in Test/, 2 classes");
  }
}

TEST_CASE("test/ is held back where there is no validation folder, and a part of train/ where there is neither") {
  const Folder folder;
  put(folder, "train/cat", 10), put(folder, "train/dog", 20), put(folder, "test/cat", 1), put(folder, "test/dog", 2);
  const ImageData tested = image_data(folder.path);
  CHECK(tested.valid.counts() == Counts{1, 2});
  CHECK(tested.how ==
        "30 images in train/, 3 in test/, 2 classes; there is no valid/: test/ is held back in its place");
  std::filesystem::remove_all(folder / "test");
  const ImageData split = image_data(folder.path);
  CHECK(split.train.counts() == Counts{8, 16});
  CHECK(split.valid.counts() == Counts{2, 4});
  CHECK(split.how ==
        "30 images in train/: 24 to train on, 6 held back (20 % of each class, drawn by seed 42), 2 classes; there is "
        "no valid/");
  write_text(folder / "test/0.jpg", "");  // without labels, as in a competition
  CHECK(image_data(folder.path).valid.size() == 6);
  CHECK_THAT(image_data(folder.path).how, ContainsSubstring("test/ is not used: it has no folder for each class"));
  put(folder, "extra/cat", 1);
  CHECK_THAT(image_data(folder.path).how, ContainsSubstring("; extra/ is not used;"));
}

TEST_CASE("a folder for each class: of each its fraction is held back, and the seed says which") {
  const Folder folder;
  put(folder, "cat", 40), put(folder, "dog/deep", 20);
  write_text(folder / "LICENSE", "");
  for (const char* name : {".git/0.jpg", "__MACOSX/cat/0.jpg", "cat/__MACOSX/0.jpg", "cat/.0.jpg"})
    write_text(folder / name, "");
  const ImageData data = image_data(folder.path, {.valid = 0.25, .seed = 1});
  CHECK(data.train.classes == Names{"cat", "dog"});
  CHECK(data.train.counts() == Counts{30, 15});
  CHECK(data.valid.counts() == Counts{10, 5});
  CHECK(data.how ==
        "60 images in 2 folders: 45 to train on, 15 held back (25 % of each class, drawn by seed 1), 2 classes");
  CHECK(paths_of(data.valid) == paths_of(image_data(folder.path, {.valid = 0.25, .seed = 1}).valid));
  CHECK(paths_of(data.valid) != paths_of(image_data(folder.path, {.valid = 0.25, .seed = 2}).valid));
  const ImageData ordered = image_data(folder.path, {.classes = {"dog", "cow", "cat"}});
  CHECK(ordered.train.counts() == Counts{16, 0, 32});
  CHECK_THAT(ordered.how, ContainsSubstring("3 classes; no image to train on of cow"));
}

TEST_CASE("so many of each class to train on: others are held back, or left out where something is held back already") {
  const Folder folder;
  put(folder, "cat", 7), put(folder, "dog", 5);
  const ImageData few = image_data(folder.path, {.per_class = 3});
  CHECK(few.train.counts() == Counts{3, 3});
  CHECK(few.valid.counts() == Counts{4, 2});
  CHECK(few.how == "12 images in 2 folders: 6 to train on (3 of each class, drawn by seed 42), 6 held back, 2 classes");
  refused(folder.path, "5 of 5 images of dog", "on fewer than there are", {.per_class = 5});

  const Folder parts;
  put(parts, "train/cat", 7), put(parts, "train/dog", 5), put(parts, "valid/cat", 1), put(parts, "valid/dog", 1);
  const ImageData data = image_data(parts.path, {.per_class = 5, .seed = 3});
  CHECK(data.train.counts() == Counts{5, 5});
  CHECK(data.valid.counts() == Counts{1, 1});
  CHECK(data.how ==
        "12 images in train/, of which 10 are trained on (5 of each class, drawn by seed 3), 2 in valid/, "
        "2 classes");
  CHECK(paths_of(data.train) != paths_of(image_data(parts.path, {.per_class = 5, .seed = 4}).train));
  refused(parts.path, "there are 5 images of dog, and per_class is 6", "than the smallest class has", {.per_class = 6});
}

TEST_CASE("a CSV file in the folder, or named itself; where its images lie is found") {
  const Folder folder;
  put(folder, "images", 10);
  std::string rows = "id,label,is_good\n";
  for (int i = 0; i < 10; ++i) rows += std::to_string(i) + (i < 5 ? ",cat,1\n" : ",dog,1\n");
  write_text(folder / "labels.CSV", rows);
  for (const auto& path : {folder.path, folder / "labels.CSV"}) {
    const ImageData data = image_data(path);
    CHECK(data.train.classes == Names{"cat", "dog"});
    CHECK(data.train.counts() == Counts{4, 4});
    CHECK(data.valid.counts() == Counts{1, 1});
    CHECK(data.how ==
          "10 images that labels.CSV lists, in images/: 8 to train on, 2 held back (20 % of each class, drawn by seed "
          "42), 2 classes");
  }
  const ImageData values = image_data(folder.path, {.csv = {.values = {"is_good"}}});
  CHECK(values.train.size() == 8);
  CHECK(values.train.items[0].values == std::vector<float>{1});
  CHECK_THAT(values.how, ContainsSubstring("2 held back (20 %, drawn by seed 42)"));

  write_text(folder / "other.csv", rows);
  refused(folder.path, "has images in images/ and no folder for each class",
          "lists images and labels: labels.CSV, other.csv");
}

TEST_CASE("a CSV file's images are looked for in train/, not in test/; a table beside folders of classes is no list") {
  const Folder folder;
  put(folder, "test", 6), put(folder, "extra", 1), put(folder, "train", 4);
  write_text(folder / "train.csv", "id,label\n0,a\n1,a\n2,b\n3,b\n");
  const ImageData data = image_data(folder.path);
  CHECK(data.train.items[0].path.parent_path() == folder / "train");
  CHECK_THAT(data.how, ContainsSubstring("4 images that train.csv lists, in train/: 2 to train on"));
  write_text(folder / "train.csv", "id,label\n0,a\n1,a\n2,b\n9,b\n");
  refused(folder / "train.csv", "row 4: the image " + (folder / "train/9").string(), "say by folder");

  const Folder classes;
  put(classes, "a", 3), put(classes, "b", 5);
  write_text(classes / "notes.csv", "file,camera\n0.jpg,x\n4.jpg,y\n9.jpg,y\n");
  const ImageData by_class = image_data(classes.path);
  CHECK(by_class.train.classes == Names{"a", "b"});
  CHECK_THAT(by_class.how, ContainsSubstring("8 images in 2 folders") && ContainsSubstring("; notes.csv is not used"));
}

TEST_CASE("a CSV file's own column says what is held back") {
  const Folder folder;
  put(folder, ".", 4);
  write_text(folder / "l.csv", "name,label,is_valid\n0.jpg,a,False\n1.jpg,b,\n2.jpg,a,True\n3.jpg,b,1\n");
  const ImageData data = image_data(folder.path);
  CHECK(paths_of(data.valid) == std::set<std::string>{folder / "2.jpg", folder / "3.jpg"});
  CHECK(data.how == "4 images that l.csv lists: 2 to train on, 2 held back, as its column is_valid says, 2 classes");
  write_text(folder / "l.csv", "name,label,split\n0.jpg,a,train\n1.jpg,b,train\n2.jpg,a,val\n3.jpg,b,test\n");
  const ImageData parts = image_data(folder.path);
  CHECK(paths_of(parts.valid) == std::set<std::string>{folder / "2.jpg"});
  CHECK(paths_of(parts.test) == std::set<std::string>{folder / "3.jpg"});
  CHECK_THAT(parts.how, ContainsSubstring(", 1 for a test, 2 classes; all 1 image held back are of one class, a"));
  write_text(folder / "l.csv", "name,label,split\n0.jpg,a,train\n1.jpg,b,late\n2.jpg,a,val\n");
  refused(folder.path, "row 2: the column split says \"late\"", "write train, valid or test");
  write_text(folder / "l.csv", "name,label,split\n0.jpg,a,train\n1.jpg,b,train\n");
  refused(folder.path, "its column split puts all images into one part", "hold back some");
  write_text(folder / "l.csv", "name,label\n0.jpg,a\n1.jpg,\n2.jpg,b\n");
  refused(folder.path, "row 2: the label is empty", "name its class");
  write_text(folder / "l.csv", "name,label\nnone.jpg,a\n1.jpg,b\n");
  refused(folder.path, "row 1: the image", "say by folder");
}

TEST_CASE("classes on the other side: one that is not trained on is an error, one in another case is taken for it") {
  const Folder folder;
  put(folder, "train/cat", 3), put(folder, "train/dog", 3), put(folder, "valid/cat", 1), put(folder, "valid/cow", 1);
  refused(folder.path, "valid/cow: the class \"cow\" is not in train/, which has cat, dog", "did you mean \"cat\"?");
  std::filesystem::rename(folder / "valid/cow", folder / "valid/Dog");
  const ImageData data = image_data(folder.path);
  CHECK(data.valid.counts() == Counts{1, 1});
  CHECK_THAT(data.how, ContainsSubstring("; valid/Dog is taken for dog"));
  std::filesystem::rename(folder / "valid/Dog", folder / "valid/dog");
  std::filesystem::remove(folder / "valid/dog/0.jpg");
  CHECK_THAT(image_data(folder.path).how,
             ContainsSubstring("; all 1 image in valid/ are of one class, cat: an accuracy there says little"));
  put(folder, "train/eel", 1), put(folder, "valid/dog", 1);
  CHECK_THAT(image_data(folder.path).how, ContainsSubstring("; no image in valid/ of eel"));
  write_text(folder / "valid/0.jpg", "");
  refused(folder.path, "valid/0.jpg: is in no class's folder", "move it");
}

TEST_CASE("what cannot be trained on is an error that names it") {
  const Folder folder;
  refused<thaw::FileError>(folder / "none", "does not exist", "name a folder");
  refused<thaw::ConfigError>(folder.path, "the fraction to hold back is 1", "between 0 and 1", {.valid = 1});
  refused<thaw::ConfigError>(folder.path, "-1 images of each class", "0 for all", {.per_class = -1});
  refused(folder.path, "there is no image in it", "give each class a folder");
  write_text(folder / "0.jpg", "");
  refused(folder.path, "its images are in no class's folder", "or put a CSV file of names and labels beside");
  std::filesystem::remove(folder / "0.jpg");
  put(folder, "cat", 3);
  refused(folder.path, "one class only, \"cat\": there is nothing to tell apart", "at least two");
  write_text(folder / "dog/notes.txt", "");
  refused(folder.path, "dog: a class's folder without an image", "or remove the folder");
  put(folder, "dog", 1);
  CHECK(image_data(folder.path).valid.counts() == Counts{1, 0});
  CHECK_THAT(image_data(folder.path).how, ContainsSubstring("; dog has one image, which stays in training"));
  CHECK_THAT(image_data(folder.path).how, ContainsSubstring("all 1 image held back are of one class, cat"));
  put(folder, "Dog", 1);
  refused(folder.path, "\"Dog\" and \"dog\" differ in case alone", "into one folder");
}

TEST_CASE("parts that are not what they seem") {
  const Folder nested;
  put(nested, "flowers/rose", 2), put(nested, "flowers/tulip", 2);
  refused(nested.path, "one class only, \"flowers\"", "did you mean " + (nested / "flowers").string() + "?");

  const Folder flat;
  put(flat, "train", 2), put(flat, "valid", 2);
  refused(flat.path, "has images in train/, valid/ and no folder for each class there", "give each class a folder");
  const Folder valid;
  put(valid, "valid/a", 2), put(valid, "valid/b", 2);
  refused(valid.path, "has valid/, and no train/ with a folder of images for each class", "is to be trained on train/");
  const Folder twice;
  for (const char* part : {"train", "val", "valid"})
    put(twice, part + std::string("/a"), 2), put(twice, part + std::string("/b"), 2);
  refused(twice.path, "has val/ and valid/", "leave one of them");
  const Folder quality;  // which are classes
  put(quality, "valid", 5), put(quality, "invalid", 5);
  CHECK(image_data(quality.path).train.classes == Names{"invalid", "valid"});
  CHECK_THAT(image_data(quality.path).how, ContainsSubstring("; valid/ is taken for a class, as it holds images"));
}

TEST_CASE("real data sets as they lie") {
  const auto how = [](const std::string& name) { return image_data(thaw::test::test_data(name)).how; };
  const std::string cats = how("cats-dogs"), food = how("food-10"), cifar = how("cifar-10"), signs = how("sign-digits");
  CHECK(cats == "200 images in train/, 500 in valid/, 2 classes");
  CHECK(food == "600 images in train/, 1000 in valid/, 10 classes");
  CHECK(cifar == "1000 images in train/, 1000 in valid/, 10 classes");
  CHECK(
      signs ==
      "2062 images in 10 folders: 1651 to train on, 411 held back (20 % of each class, drawn by seed 42), 10 classes");
}

TEST_CASE("a CSV file without a line of names loses no image; links that lead nowhere or back up are named") {
  const Folder folder;
  put(folder, "images", 6);
  std::string lines;
  for (int i = 0; i < 6; ++i) lines += std::to_string(i) + ".jpg," + (i % 2 == 0 ? "cat" : "dog") + "\n";
  write_text(folder / "list.csv", lines);
  const ImageData data = image_data(folder.path);
  CHECK(data.train.size() + data.valid.size() == 6);
  CHECK(data.train.classes == Names{"cat", "dog"});
  CHECK_THAT(data.how, ContainsSubstring("its first line is an image's"));

  const Folder links;
  put(links, "cat", 3), put(links, "dog", 3);
  std::filesystem::create_directory_symlink("..", links / "cat/up");
  std::filesystem::create_symlink("none.jpg", links / "dog/9.jpg");
  const ImageData linked = image_data(links.path);
  CHECK(linked.train.size() + linked.valid.size() == 6);
  CHECK_THAT(linked.how, ContainsSubstring("cat/up: a link back") && ContainsSubstring("9.jpg: a link that leads no"));
}
