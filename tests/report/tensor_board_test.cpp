// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <thaw/report/detail/event_file.hpp>
#include <thaw/report/tensor_board.hpp>
#include <utility>
#include <vector>

#include "support/bench.hpp"
#include "support/folder.hpp"
#include "support/python_command.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::TensorBoard;
using thaw::test::Bench;
using namespace std::string_literals;

namespace {

/// Values by tag and step, as a reader of another make would find them: records, checksums and fields by TensorFlow's
/// description. A tag that is twice at a step has two values.
using Series = std::map<std::string, std::multimap<std::int64_t, float>>;

template <class Number>
Number take(std::string_view& bytes) {
  Number number{};
  REQUIRE(bytes.size() >= sizeof number);
  std::memcpy(&number, bytes.data(), sizeof number);
  bytes.remove_prefix(sizeof number);
  return number;
}
std::uint64_t take_varint(std::string_view& bytes) {
  std::uint64_t number = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = take<unsigned char>(bytes);
    number |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return number;
  }
}
/// The fields of a message: number, and its bytes, or 8 bytes of an integer.
std::vector<std::pair<int, std::string>> fields(std::string_view bytes) {
  std::vector<std::pair<int, std::string>> all;
  while (!bytes.empty()) {
    const auto key = take_varint(bytes);
    std::string value;
    if (key % 8 == 0) {
      const std::uint64_t number = take_varint(bytes);
      value.assign(reinterpret_cast<const char*>(&number), sizeof number);
    } else {
      const std::size_t size = key % 8 == 1 ? 8 : key % 8 == 5 ? 4 : take_varint(bytes);
      REQUIRE(bytes.size() >= size);
      value = bytes.substr(0, size);
      bytes.remove_prefix(size);
    }
    all.emplace_back(static_cast<int>(key / 8), value);
  }
  return all;
}

void read(const std::filesystem::path& file, Series& series, std::vector<std::int64_t>& restarts) {
  const std::string bytes = thaw::test::text_of(file);
  bool first = true;
  for (std::string_view rest = bytes; !rest.empty(); first = false) {
    const auto checksum = [](std::string_view of) {
      const std::uint32_t crc = thaw::detail::crc32c(of);
      return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
    };
    const std::string_view length_bytes = rest.substr(0, 8);
    const auto length = take<std::uint64_t>(rest);
    CHECK(take<std::uint32_t>(rest) == checksum(length_bytes));
    REQUIRE(rest.size() >= length + 4);
    const std::string_view event = rest.substr(0, length);
    rest.remove_prefix(length);
    CHECK(take<std::uint32_t>(rest) == checksum(event));
    std::int64_t step = 0;
    for (const auto& [number, value] : fields(event)) {
      if (number == 2) std::memcpy(&step, value.data(), 8);
      if (number == 3) CHECK((first && value == "brain.Event:2"));
      if (number == 7) restarts.push_back(step);
      if (number != 5) continue;
      for (const auto& [one, scalar] : fields(value)) {
        std::string tag;
        float number_of = 0;
        for (const auto& [field, content] : fields(scalar)) {
          if (field == 1) tag = content;
          if (field == 2) std::memcpy(&number_of, content.data(), 4);
        }
        series[tag].emplace(step, number_of);
      }
    }
  }
}

Series read(const std::filesystem::path& dir, std::vector<std::int64_t>* restarts = nullptr) {
  Series series;
  std::vector<std::int64_t> found;
  for (const std::string& name : thaw::test::names_in(dir)) {
    CHECK_THAT(name, ContainsSubstring("tfevents"));
    read(dir / name, series, found);
  }
  if (restarts != nullptr) *restarts = found;
  return series;
}

struct TakeStates {
  std::vector<thaw::RunState>* states;
  void on_safe_point(const thaw::SafePoint& event) const {
    thaw::RunState state = event.learner.run_state();
    for (auto& [name, tensor] : state) tensor = tensor.clone();
    states->push_back(std::move(state));
  }
};

}  // namespace

TEST_CASE("Records are TensorFlow's: checksums of RFC 3720, and a file's first bytes") {
  CHECK(thaw::detail::crc32c("123456789") == 0xE3069283);
  CHECK(thaw::detail::crc32c(std::string(32, '\0')) == 0x8A9136AA);
  CHECK(thaw::detail::crc32c(std::string(32, '\xff')) == 0x62A8AB43);
  CHECK(thaw::detail::crc32c("") == 0);
  const std::string first = thaw::detail::event_record(thaw::detail::version_event(1.5));
  CHECK(first.substr(0, 13) == "\x18\0\0\0\0\0\0\0\xa3\x7fK\"\x09"s);  // as every event file of TensorFlow begins
  CHECK(first.substr(12, 24) ==
        "\x09\0\0\0\0\0\0\xf8\x3f\x1a\x0d"
        "brain.Event:2"s);
  CHECK(thaw::detail::scalars_event(1.5, 300, {{"a/b", 0.25}}) ==
        "\x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02\x2a\x0c\x0a\x0a\x0a\x03"
        "a/b\x15\0\0\x80\x3e"s);
  CHECK(thaw::detail::restart_event(1.5, 7) == "\x09\0\0\0\0\0\0\xf8\x3f\x10\x07\x3a\x02\x08\x01"s);
}

TEST_CASE("TensorBoard has the losses, rates and momentum of each step, and each epoch's results, over all stages") {
  const thaw::test::Folder folder;
  Bench bench;
  const thaw::Callback board = TensorBoard{folder / "runs/a"};
  bench.learner->fit({.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 0.1}, board);
  bench.learner->fit({.name = "all", .epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 0.01}, board);
  const thaw::History& history = bench.learner->history();
  const Series series = read(folder / "runs/a");
  std::vector<std::string> tags;
  for (const auto& [tag, values] : series) tags.push_back(tag);
  CHECK(tags == std::vector<std::string>{"loss/train", "loss/train_epoch", "loss/valid", "lr/body", "lr/head",
                                         "lr/stem", "momentum", "seconds_per_epoch"});
  REQUIRE(series.at("loss/train").size() == history.steps.size());
  for (std::size_t i = 0; i < history.steps.size(); ++i) {
    const auto at = [&](const std::string& tag) {
      return series.at(tag).find(static_cast<std::int64_t>(i) + 1)->second;
    };
    CHECK(at("loss/train") == static_cast<float>(history.steps[i].loss));
    CHECK(at("lr/stem") == static_cast<float>(history.steps[i].lr[0]));
    CHECK(at("lr/head") == static_cast<float>(history.steps[i].lr[2]));
    CHECK(at("momentum") == static_cast<float>(history.steps[i].momentum.value()));
  }
  REQUIRE(series.at("loss/valid").size() == 3);
  for (const thaw::EpochRecord& epoch : history.epochs)
    CHECK(series.at("loss/valid").find(epoch.steps_done)->second == static_cast<float>(epoch.valid->loss));
}

TEST_CASE("A run that is resumed, from any checkpoint, again and again, has each step once") {
  const thaw::test::Folder folder;
  std::vector<thaw::RunState> states;
  Bench bench;
  bench.learner->fit({.epochs = 3}, TensorBoard{folder.path}, TakeStates{&states});
  const Series whole = read(folder.path);
  REQUIRE(states.size() > 4);
  const auto check = [&](std::size_t from) {
    Bench next;
    next.learner->resume(states[from]);
    std::vector<thaw::RunState> later;
    next.learner->fit({.epochs = 3}, TensorBoard{folder.path}, TakeStates{&later});
    std::vector<std::int64_t> restarts;
    Series now = read(folder.path, &restarts), expected = whole;
    now.erase("seconds_per_epoch"), expected.erase("seconds_per_epoch");
    CHECK((now == expected));
    CHECK(restarts.size() == 1);
  };
  const std::size_t last = states.size() - 3;  // the end of the second epoch, or the middle of the third
  SECTION("after what the checkpoint has") {
    check(last);
    check(1);  // from before that, as if the second process had been killed as well
    check(last);
  }
  SECTION("where the file is gone") {
    for (const std::string& name : thaw::test::names_in(folder.path)) std::filesystem::remove(folder / name);
    check(last);
  }
  SECTION("where a part of the file is gone") {
    for (const std::string& name : thaw::test::names_in(folder.path)) std::filesystem::resize_file(folder / name, 50);
    check(last);
  }
}

TEST_CASE("Another run's file in the folder is left alone") {
  const thaw::test::Folder folder;
  std::vector<thaw::RunState> states;
  Bench bench, other;
  bench.learner->fit({.epochs = 2}, TensorBoard{folder.path}, TakeStates{&states});
  other.learner->fit({.epochs = 1}, TensorBoard{folder.path});
  const std::string name = thaw::test::names_in(folder.path).back(), bytes = thaw::test::text_of(folder / name);
  Bench next;
  next.learner->resume(states[0]);
  next.learner->fit({.epochs = 2}, TensorBoard{folder.path}, TakeStates{&states});
  CHECK(thaw::test::text_of(folder / name) == bytes);
}

TEST_CASE("TensorBoard says before the first step that it cannot write") {
  Bench bench;
  CHECK_THROWS_MATCHES(bench.learner->fit({}, TensorBoard{"/proc/none"}), thaw::FileError,
                       MessageMatches(ContainsSubstring("cannot be written")));
  CHECK(bench.learner->history().steps.empty());
}

TEST_CASE("TensorBoard's own reader finds the scalars") {
  if (std::system((thaw::test::python_command() + " -c 'import tensorboard' 2> /dev/null").c_str()) != 0)
    thaw::test::skip_without("tensorboard");
  const thaw::test::Folder folder;
  Bench bench;
  bench.learner->fit({.epochs = 2, .lr = 0.1}, TensorBoard{folder.path});
  const std::string script =
      " -c 'import sys; from tensorboard.backend.event_processing.event_accumulator import EventAccumulator as A; "
      "a = A(sys.argv[1], size_guidance={\"scalars\": 0}); a.Reload(); v = a.Scalars(\"loss/valid\"); "
      "assert len(a.Scalars(\"lr/head\")) == int(sys.argv[2]) and [e.step for e in v] == "
      "[int(sys.argv[2]) // 2, int(sys.argv[2])], v' ";
  CHECK(std::system((thaw::test::python_command() + script + folder.path.string() + " " +
                     std::to_string(bench.learner->history().steps_done))
                        .c_str()) == 0);
}
