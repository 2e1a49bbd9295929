#include <thaw/data/class_names.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
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

TEST_CASE("folders that are the parts of a data set are no classes") {
  const auto refused = [](const std::vector<std::string>& folders) {
    CHECK_THROWS_MATCHES(thaw::refuse_parts_as_classes("flowers", folders, "x"), thaw::DataError,
                         MessageMatches(ContainsSubstring("flowers: has " + folders[0] + "/") &&
                                        ContainsSubstring("parts of a data set")));
  };
  refused({"train", "val"});
  refused({"Training", "TEST", "other"});
  refused({"train"});
  for (const std::vector<std::string>& classes :
       {std::vector<std::string>{"invalid", "valid"}, {"train", "tram"}, {"a"}, {}})
    CHECK_NOTHROW(thaw::refuse_parts_as_classes("vehicles", classes, "x"));
}
