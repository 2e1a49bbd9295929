// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/csv_log.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "support/bench.hpp"
#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::CsvLog;
using thaw::test::Bench;

namespace {

std::vector<std::vector<std::string>> rows_of(const std::filesystem::path& path) {
  std::vector<std::vector<std::string>> rows;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream cells(line);
    rows.emplace_back();
    for (std::string cell; std::getline(cells, cell, ',');) rows.back().push_back(cell);
  }
  return rows;
}

struct Place {
  thaw::test::Folder folder;
  std::filesystem::path path = folder / "log.csv";
};

}  // namespace

TEST_CASE("CsvLog writes a row per epoch, all digits, under one header for all stages") {
  const Place place;
  Bench bench;
  const CsvLog log{place.path};
  thaw::Callback shared = log;
  bench.learner->fit({.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 0.1}, shared);
  bench.learner->fit({.name = "all", .epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 0.01}, shared);
  const auto rows = rows_of(place.path);
  REQUIRE(rows.size() == 4);
  CHECK(rows[0] == std::vector<std::string>{"stage", "epoch", "train_loss", "valid_loss", "seconds", "lr stem",
                                            "lr body", "lr head"});
  const thaw::History& history = bench.learner->history();
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(rows[i + 1].size() == 8);
    CHECK(rows[i + 1][0] == history.epochs[i].stage);
    CHECK(std::stod(rows[i + 1][2]) == history.epochs[i].train_loss);
    CHECK(std::stod(rows[i + 1][3]) == history.epochs[i].valid->loss);
  }
  CHECK(rows[2][1] == "2");
  CHECK(rows[2][5] == "0");  // frozen
  CHECK(std::stod(rows[3][7]) == history.steps.back().lr[2]);
}

TEST_CASE("CsvLog starts anew, or appends to a log with the same columns") {
  const Place place;
  Bench bench, other({.valid = false});
  bench.learner->fit({}, CsvLog{place.path});
  bench.learner->fit({}, CsvLog{place.path});
  CHECK(rows_of(place.path).size() == 2);
  bench.learner->fit({}, CsvLog{.path = place.path, .append = true});
  CHECK(rows_of(place.path).size() == 3);
  std::ofstream(place.path) << "a,b\n";
  CHECK_THROWS_MATCHES(bench.learner->fit({}, CsvLog{.path = place.path, .append = true}), thaw::FileError,
                       MessageMatches(ContainsSubstring("has other columns: a,b")));
  other.learner->fit({}, CsvLog{place.path});
  CHECK(rows_of(place.path)[1][3].empty());
}

TEST_CASE("CsvLog says before the first step that it cannot write") {
  Bench bench;
  CHECK_THROWS_AS(bench.learner->fit({}, CsvLog{"/nowhere/at/all.csv"}), thaw::FileError);
  CHECK(bench.learner->history().steps.empty());
}

TEST_CASE("cells with commas, quotes or line breaks are quoted") {
  CHECK(thaw::detail::csv_row({"a", "b,c", "say \"x\"", "two\nlines", ""}) ==
        "a,\"b,c\",\"say \"\"x\"\"\",\"two\nlines\",");
}

TEST_CASE("CsvLog keeps its columns when a stage has no validation") {
  const Place file;
  thaw::test::Bench bench;
  thaw::Learner learner{bench.net,
                        thaw::LayerGroups::cut_before(bench.net, {"head"}),
                        thaw::cross_entropy,
                        {.train = bench.data(8),
                         .valid = bench.data(8),
                         .metrics = {thaw::accuracy()},
                         .callbacks = {thaw::CsvLog{file.path}}}};
  learner.fit({});
  learner.data({.train = bench.data(8)});
  learner.fit({});
  std::ifstream in(file.path);
  std::string header, first, second;
  std::getline(in, header), std::getline(in, first), std::getline(in, second);
  CHECK(header == "stage,epoch,train_loss,valid_loss,accuracy,seconds,lr stem,lr head");
  CHECK(std::ranges::count(second, ',') == std::ranges::count(header, ','));
  CHECK(second.find(",,,") != std::string::npos);
}

TEST_CASE("a resumed run cuts off rows that were written after its checkpoint, and writes again those that are gone") {
  const Place place;
  struct Take {
    std::vector<thaw::RunState>* states;
    void on_safe_point(const thaw::SafePoint& event) const {
      thaw::RunState state = event.learner.run_state();
      for (auto& [name, tensor] : state) tensor = tensor.clone();
      if (event.after == thaw::SafePoint::After::epoch) states->push_back(std::move(state));
    }
  };
  const auto without_seconds = [&] {
    auto rows = rows_of(place.path);
    for (auto& row : rows) row.erase(row.begin() + 4);
    return rows;
  };
  std::vector<thaw::RunState> states, later;
  Bench bench;
  bench.learner->fit({.epochs = 3}, CsvLog{place.path}, Take{&states});
  const auto whole = without_seconds();
  REQUIRE(whole.size() == 4);

  SECTION("cut off") {}
  SECTION("gone") {
    std::filesystem::remove(place.path);
  }
  SECTION("half gone") {
    std::filesystem::resize_file(place.path, 40);
  }
  Bench next;
  next.learner->resume(states.at(1));
  next.learner->fit({.epochs = 3}, CsvLog{place.path}, Take{&later});
  CHECK(without_seconds() == whole);
}
