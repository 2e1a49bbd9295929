// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/class_names.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <set>
#include <string>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("classes are numbered as given, or in the order of their names") {
  const thaw::ClassNumbers sorted({}, {"dog", "cat"});
  CHECK(sorted.classes() == std::vector<std::string>{"cat", "dog"});
  CHECK(sorted.of("dog", "a.jpg", "its class") == 1);
  CHECK(thaw::ClassNumbers({"dog", "cow", "cat"}, {"cat"}).of("cat", "a.jpg", "its class") == 2);
  CHECK_THROWS_MATCHES(sorted.of("dogs", "a.jpg", "its class"), thaw::DataError,
                       MessageMatches(ContainsSubstring("a.jpg: its class \"dogs\" is none of cat, dog") &&
                                      ContainsSubstring("did you mean \"dog\"?")));
  CHECK_THROWS_MATCHES(thaw::ClassNumbers({"a", "b", "a"}, {}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("\"a\" is there twice")));
}

TEST_CASE("two spellings of one name are no two classes, unless they are given as such") {
  const auto refused = [](const std::set<std::string>& names, const std::string& why) {
    CHECK_THROWS_MATCHES(
        thaw::ClassNumbers({}, names, "a.csv"), thaw::DataError,
        MessageMatches(ContainsSubstring("a.csv: \"" + *names.begin() + "\" and \"" + *names.rbegin() + "\" " + why) &&
                       ContainsSubstring("name all classes")));
    CHECK(thaw::ClassNumbers({names.begin(), names.end()}, names).of(*names.rbegin(), "", "") == 1);
  };
  refused({"Cat", "cat"}, "differ in case alone");
  refused({"golden  retriever", "golden retriever"}, "differ in spaces or case alone");
  refused({"Cat", "cat "}, "differ in spaces or case alone");
  refused({"cat", "cat\xC2\xA0"}, "differ in spaces or case alone");
  refused({"cat",
           "\xE2\x80\x8B"
           "cat"},
          "differ in spaces or case alone");
  refused({"1", "1.0"}, "are one number");
  refused({"01", "1"}, "are one number");
  refused({"+10.50", "10.5"}, "are one number");
  refused({"-2", "-2."}, "are one number");
  for (const std::set<std::string>& names : std::vector<std::set<std::string>>{{"1", "-1", "10", "1.01", "0", "0.1"},
                                                                               {"1.2.3", "01.2.3"},
                                                                               {".", "-", "+", ".."},
                                                                               {"1e5", "100000"},
                                                                               {"catfish", "cat fish", "cat"},
                                                                               {"\xC3\xA4", "\xC2\xA4"}})
    CHECK(thaw::ClassNumbers({}, names).classes().size() == names.size());
}

TEST_CASE("an empty name is no class") {
  const thaw::ClassNumbers numbers({}, {"", "cat"});
  CHECK(numbers.classes() == std::vector<std::string>{"cat"});
  CHECK_THROWS_MATCHES(numbers.of("", "a.csv, row 7", "the label"), thaw::DataError,
                       MessageMatches(ContainsSubstring("a.csv, row 7: the label is empty")));
}

TEST_CASE("folders that are the parts of a data set are no classes") {
  const auto refused = [](const std::vector<std::string>& folders) {
    CHECK_THROWS_MATCHES(thaw::refuse_parts_as_classes("flowers", folders, "x"), thaw::DataError,
                         MessageMatches(ContainsSubstring("flowers: has " + folders[0] + "/") &&
                                        ContainsSubstring("parts of a data set")));
  };
  refused({"train", "val"});
  refused({"Training", "TEST", "other"});
  refused({"train"});
  refused({"train_set", "test_set"});
  refused({"Trainset", "other", "testset"});
  refused({"train", "eval"});
  refused({"dev", "other", "train"});
  for (const std::vector<std::string>& classes :
       {std::vector<std::string>{"invalid", "valid"}, {"train", "tram"}, {"dev", "ops"}, {"a"}, {}})
    CHECK_NOTHROW(thaw::refuse_parts_as_classes("vehicles", classes, "x"));
}

TEST_CASE("images and masks are no classes") {
  for (const std::vector<std::string>& folders : {std::vector<std::string>{"images", "masks"}, {"Labels", "img"}})
    CHECK_THROWS_MATCHES(thaw::refuse_parts_as_classes("cells", folders, "x"), thaw::DataError,
                         MessageMatches(ContainsSubstring("has " + folders[0] + ", " + folders[1] + ": images and") &&
                                        ContainsSubstring("mask_data")));
  for (const std::vector<std::string>& classes :
       {std::vector<std::string>{"images", "masks", "cat"}, {"images", "drawings"}, {"mask", "no mask"}})
    CHECK_NOTHROW(thaw::refuse_parts_as_classes("shop", classes, "x"));
}
