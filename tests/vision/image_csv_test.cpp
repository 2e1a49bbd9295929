// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/image_csv.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>
#include <vector>

#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::test::write_text;
using thaw::vision::image_csv;
using thaw::vision::ImageList;

using Labels = std::vector<std::int64_t>;

TEST_CASE("a CSV file of images with one label each") {
  const thaw::test::Folder folder;
  for (const char* name : {"a.jpg", "b.jpg"}) write_text(folder / name, "");
  write_text(folder / "list.csv", "name,label\nb.jpg,dog\na.jpg,cat\n");
  const ImageList list = image_csv(folder / "list.csv");
  CHECK(list.classes == std::vector<std::string>{"cat", "dog"});
  CHECK(list.items[0].path == folder / "b.jpg");
  CHECK(list.items[0].labels == Labels{1});
  CHECK(image_csv(folder / "list.csv", {.classes = {"dog", "cow", "cat"}}).items[1].labels == Labels{2});
}

TEST_CASE("several labels, or numbers; columns, folder and extension as they are named") {
  const thaw::test::Folder folder;
  for (const char* name : {"train/a.jpg", "train/b.jpg"}) write_text(folder / name, "");
  write_text(folder / "list.csv", "tags;x;id;y\nclear primary;0.5;a;-1e-3\n;2;b;7\n");
  const ImageList tags = image_csv(folder / "list.csv", {.folder = folder / "train",
                                                         .path = "id",
                                                         .label = "tags",
                                                         .separator = " ",
                                                         .extension = ".jpg",
                                                         .delimiter = ';'});
  CHECK(tags.classes == std::vector<std::string>{"clear", "primary"});
  CHECK(tags.items[0].labels == Labels{0, 1});
  CHECK(tags.items[1].labels.empty());
  const ImageList values = image_csv(
      folder / "list.csv",
      {.folder = folder / "train", .path = "id", .values = {"y", "x"}, .extension = ".jpg", .delimiter = ';'});
  CHECK(values.items[0].values == std::vector<float>{-1e-3F, 0.5F});
  CHECK(values.items[0].labels.empty());
}

TEST_CASE("a CSV file that does not fit is an error that names row and column") {
  const thaw::test::Folder folder;
  write_text(folder / "a.jpg", "");
  const auto refused = [&](const std::string& text, const thaw::vision::ImageCsvOptions& options,
                           const std::string& what) {
    write_text(folder / "list.csv", text);
    CHECK_THROWS_MATCHES(image_csv(folder / "list.csv", options), thaw::DataError,
                         MessageMatches(ContainsSubstring("list.csv") && ContainsSubstring(what)));
  };
  refused("name,label\n", {}, "lists no image");
  refused("name\na.jpg\n", {}, "has one column");
  refused("name,label\na.jpg,x\n", {.label = "tag"}, "no column \"tag\"");
  refused("name,label\na.jpg,x\nb.jpg,x\n", {}, "row 2: the image");
  refused("name,label\na.jpg,x y\n", {.classes = {"x", "y"}}, "row 1: the label \"x y\" is none of x, y");
  refused("name,v\na.jpg,1.5m\n", {.values = {"v"}}, "row 1: \"1.5m\" is no number");
  refused("name;label\na.jpg;x\n", {}, "say by delimiter");
  refused("name,label\na.jpg,x\na.jpg,\n", {}, "row 2: the label is empty");
  refused("name,label\n.,x\n", {}, "/. is no file");
  refused("name,label\n,x\n", {}, "/ is no file");
  refused("name,label\na.jpg,Cat\na.jpg,cat\n", {}, "list.csv: \"Cat\" and \"cat\" differ in case alone");
  refused("name,label\na.jpg,x\n./a.jpg,y\n", {}, "row 2: the image ");
  refused("name,label\na.jpg,x\n./a.jpg,y\n", {}, "has another label than in row 1");
  refused("name,tags\na.jpg,x y\na.jpg,x\n", {.separator = " "}, "has another label than in row 1");
  refused("name,fold,Label\na.jpg,1,x\n", {}, "in its column \"fold\", or in \"Label\"");
  refused("name,cat,dog\na.jpg,1,0\na.jpg,0,1\n", {}, "has a column for each class, cat, dog, ..., of 0 and 1");
  refused("b.jpg,x\na.jpg,y\n", {}, "row 1: the image ");  // a first line that looks like data is no header
  write_text(folder / "list.csv", "name,label\na.jpg,x\na.jpg,x\n");
  CHECK(image_csv(folder / "list.csv").size() == 2);  // twice, and the same
  write_text(folder / "list.csv", "name,fold,Label\na.jpg,1,x\n");
  CHECK(image_csv(folder / "list.csv", {.label = "fold"}).classes == std::vector<std::string>{"1"});
  write_text(folder / "list.csv", "name,cat,dog\na.jpg,1,1\n");
  CHECK(image_csv(folder / "list.csv").classes == std::vector<std::string>{"1"});
  write_text(folder / "list.csv", "name,kind,other\na.jpg,1,x\n");
  CHECK(image_csv(folder / "list.csv").classes == std::vector<std::string>{"1"});
}

TEST_CASE("spaces around names of columns, paths, labels and numbers are left out, unless they are to stay") {
  const thaw::test::Folder folder;
  for (const char* name : {"a.jpg", "b.jpg", "c.jpg"}) write_text(folder / name, "");
  write_text(folder / "list.csv", "label, path, x\ndog,a.jpg,+0.5\n dog, b.jpg , -2 \n\" dog\",c.jpg,\" 1\"\n");
  const ImageList list = image_csv(folder / "list.csv", {.path = "path", .label = "label"});
  CHECK(list.classes == std::vector<std::string>{"dog"});
  const ImageList values = image_csv(folder / "list.csv", {.path = "path", .values = {"x"}});
  CHECK(values.items[0].values == std::vector<float>{0.5F});
  CHECK(values.items[1].values == std::vector<float>{-2.0F});
  CHECK(values.items[2].values == std::vector<float>{1.0F});
  CHECK_THROWS_AS(image_csv(folder / "list.csv", {.path = "path", .trim = false}), thaw::DataError);

  write_text(folder / "list.csv", "path,tags\na.jpg,x; y\nb.jpg,y ;z;\n");
  CHECK(image_csv(folder / "list.csv", {.separator = ";"}).classes == std::vector<std::string>{"x", "y", "z"});
  write_text(folder / "list.csv", "path,x\na.jpg,nan\n");
  CHECK_THROWS_AS(image_csv(folder / "list.csv", {.values = {"x"}}), thaw::DataError);
}

TEST_CASE("a table of images without a line of names: its first line is an image like the others") {
  const thaw::test::Folder folder;
  for (const char* name : {"a.jpg", "b.jpg"}) write_text(folder / name, "");
  write_text(folder / "list.csv", "a.jpg,cat\nb.jpg,dog\n");
  for (const thaw::vision::ImageCsvOptions& options :
       {thaw::vision::ImageCsvOptions{}, {.path = 0, .label = 1}, {.header = false}}) {
    const ImageList list = image_csv(folder / "list.csv", options);
    CHECK(list.classes == std::vector<std::string>{"cat", "dog"});
    CHECK(list.size() == 2);
  }
  CHECK(image_csv(folder / "list.csv", {.header = true}).size() == 1);
  CHECK_THROWS_MATCHES(image_csv(folder / "list.csv", {.label = "label", .header = false}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("given by its name")));
  CHECK_THROWS_MATCHES(image_csv(folder / "list.csv", {.label = 2}), thaw::DataError,
                       MessageMatches(ContainsSubstring("no column 2")));
  write_text(folder / "list.csv", "cat;a\ndog;b\n");
  CHECK(image_csv(folder / "list.csv", {.path = 1, .label = 0, .extension = ".jpg", .delimiter = ';'}).size() == 2);
}
