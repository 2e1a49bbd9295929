// SPDX-License-Identifier: BSD-3-Clause
// The memory that an epoch takes on the device, and who shows it.
#include <thaw/core/device_memory.hpp>

#include <ATen/ops/empty.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <thaw/report/console.hpp>
#include <thaw/report/csv_log.hpp>
#include <thaw/report/html_report.hpp>
#include <thaw/report/json_lines.hpp>

#include "device/bench.hpp"
#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::PeakMemory;
using thaw::test::Bench;
using thaw::test::test_device;

namespace {

bool is_counted() {
  const PeakMemory peak(test_device());
  (void)at::empty({1}, test_device());
  return peak.bytes() > 0;
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("the peak is of what was there at once since it was asked for, and not known on the CPU") {
  if (!is_counted()) SKIP("LibTorch does not count there");
  constexpr std::int64_t mebibyte = 1 << 20;
  const auto take = [](std::int64_t bytes) { return at::empty({bytes}, at::device(test_device()).dtype(at::kByte)); };
  const std::int64_t before = PeakMemory(test_device()).bytes();
  (void)take(64 * mebibyte);
  const PeakMemory peak(test_device());
  CHECK(peak.bytes() == before);
  {
    const at::Tensor a = take(8 * mebibyte), b = take(8 * mebibyte);
  }
  (void)take(4 * mebibyte);
  CHECK(peak.bytes() == before + 16 * mebibyte);
  CHECK(PeakMemory(at::kCPU).bytes() == 0);
}

TEST_CASE("each epoch's record has it, less where less is thawed; all reports show it") {
  if (!is_counted()) SKIP("LibTorch does not count there");
  const thaw::test::Folder folder;
  std::string console;
  std::FILE* lines = std::fopen((folder / "run.jsonl").c_str(), "w");
  {
    Bench bench(test_device());
    bench.learner.fit(std::vector<thaw::Stage>{{.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2},
                                               {.name = "all", .epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 1e-2}},
                      thaw::Console{thaw::Terminal{.write = [&](std::string_view more) { console += more; }}},
                      thaw::CsvLog{folder / "run.csv"}, thaw::JsonLines{.out = lines},
                      thaw::HtmlReport{folder / "run.html"});
    std::fclose(lines);
    const std::vector<thaw::EpochRecord>& epochs = bench.learner.history().epochs;
    REQUIRE(epochs.size() == 3);
    CHECK(epochs[1].peak_memory > 0);
    CHECK(epochs[2].peak_memory > epochs[1].peak_memory);
    const std::string bytes = std::to_string(epochs[2].peak_memory);
    CHECK_THAT(text_of(folder / "run.csv"),
               ContainsSubstring(",seconds,peak_memory,") && ContainsSubstring("," + bytes));
    CHECK_THAT(text_of(folder / "run.jsonl"), ContainsSubstring("\"peak_memory\":" + bytes));

    Bench resumed(test_device());
    thaw::RunState state = bench.learner.run_state();
    for (auto& [name, tensor] : state) tensor = tensor.cpu();
    resumed.learner.resume(state);
    (void)resumed.learner.fit(
        std::vector<thaw::Stage>{{.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2},
                                 {.name = "all", .epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 1e-2}});
    CHECK(resumed.learner.history().epochs[2].peak_memory == epochs[2].peak_memory);
  }
  CHECK_THAT(console, ContainsSubstring("  memory     time\n") && ContainsSubstring("    1 MB  "));
  CHECK_THAT(text_of(folder / "run.html"), ContainsSubstring(">memory<") && ContainsSubstring(">1 MB<"));
}

TEST_CASE("on the CPU no report has a column for it") {
  const thaw::test::Folder folder;
  Bench bench(at::kCPU);
  bench.learner.fit({.freeze = thaw::FreezeTo{-1}}, thaw::CsvLog{folder / "run.csv"});
  CHECK(bench.learner.history().epochs[0].peak_memory == 0);
  CHECK_THAT(text_of(folder / "run.csv"), !ContainsSubstring("peak_memory"));
}
