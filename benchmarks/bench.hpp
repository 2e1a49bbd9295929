// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the benchmarks share: turns that alternate, medians, one table and one JSON file.

#include <fmt/format.h>
#include <sys/resource.h>

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thaw/report/table.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace bench {

/// The command line of every benchmark: --quick for fewer rounds, --json FILE to write the rows.
struct Arguments {
  bool quick = false;
  std::string json;

  Arguments(int count, char** words) {
    for (int i = 1; i < count; ++i)
      if (std::string_view(words[i]) == "--quick")
        quick = true;
      else if (std::string_view(words[i]) == "--json" && i + 1 < count)
        json = words[++i];
      else
        fmt::print(stderr, "{} [--quick] [--json FILE]\n", words[0]), std::exit(2);
  }
};

/// What stands behind an option of a program that is told of one job; `otherwise` where it is not there.
inline std::string option(int count, char** words, std::string_view name, std::string otherwise = "") {
  for (int i = 1; i + 1 < count; i += 2)
    if (words[i] == name) otherwise = words[i + 1];
  return otherwise;
}

inline double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

/// A line of /proc/self/status, in kB: "VmHWM:" is the most memory that the process ever held. NaN where there is none.
inline double status_kb(std::string_view field) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (double kilobytes = 0; word == field && status >> kilobytes) return kilobytes;
  return std::nan("");
}

/// Processor time of all threads so far, in seconds: what a busy machine disturbs little.
inline double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/// Seconds.
inline double timed(const std::function<void()>& turn) {
  const auto start = std::chrono::steady_clock::now();
  turn();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The median seconds of each side. They take turns, another one first each round, so that a machine that slows down
/// slows all of them; one more round goes before those that count.
inline std::vector<double> interleaved(int rounds, const std::vector<std::function<void()>>& sides) {
  std::vector<std::vector<double>> seconds(sides.size());
  for (int round = -1; round < rounds; ++round)
    for (std::size_t i = 0; i < sides.size(); ++i) {
      const std::size_t side = (i + static_cast<std::size_t>(round + 1)) % sides.size();
      const double took = timed(sides[side]);
      if (round >= 0) seconds[side].push_back(took);
    }
  std::vector<double> result;
  for (const auto& each : seconds) result.push_back(median(each));
  return result;
}

/// The least seconds of each side, in turns, the same ones in all processes: with two programs that wait for each
/// other, what else the machine does only ever adds.
inline std::vector<double> least(int rounds, const std::vector<std::function<void()>>& sides) {
  std::vector<double> seconds(sides.size(), HUGE_VAL);
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < sides.size(); ++i) seconds[i] = std::min(seconds[i], timed(sides[i]));
  return seconds;
}

enum class Target { at_least, at_most };

/// Rows of {name, ours, theirs, unit, ratio, target, met}.
class Report {
 public:
  /// `ratio` is ours / theirs for Target::at_most, theirs / ours (how many times faster) for at_least.
  void add(const std::string& name, double ours, double theirs, const std::string& unit, Target target, double limit) {
    const double ratio = target == Target::at_most ? ours / theirs : theirs / ours;
    const bool met = target == Target::at_most ? ratio <= limit : ratio >= limit;
    const std::string wanted = fmt::format("{} {:.3g}x", target == Target::at_most ? "at most" : "at least", limit);
    rows_.push_back({{"name", name},
                     {"ours", ours},
                     {"theirs", theirs},
                     {"unit", unit},
                     {"ratio", ratio},
                     {"target", wanted},
                     {"met", met}});
    table_.add(name, fmt::format("{:.4g}", ours), fmt::format("{:.4g}", theirs), unit, fmt::format("{:.2f}x", ratio),
               wanted, met ? "met" : "MISSED");
  }

  /// Prints the table; writes the JSON file where one was asked for.
  void finish(const Arguments& arguments) const {
    fmt::print("{} threads of {} processors\n\n{}\n", at::get_num_threads(), std::thread::hardware_concurrency(),
               thaw::to_text(table_));
    if (!arguments.json.empty()) std::ofstream(arguments.json) << rows_.dump(2) << "\n";
  }

 private:
  thaw::Table table_{.headers = {"", "thaw", "other", "unit", "ratio", "target", ""}};
  nlohmann::json rows_ = nlohmann::json::array();
};

}  // namespace bench
