// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <thaw/core/random_state.hpp>

namespace example {

/// What every recipe can be told on its command line.
struct Common {
  std::filesystem::path data;
  std::filesystem::path weights;
  std::filesystem::path out = "out";
  std::int64_t epochs = 5;
  int size = 96;
  std::uint64_t seed = 42;

  void add_to(CLI::App& app) {
    app.add_option("--data", data, "what to train on")->capture_default_str();
    app.add_option("--weights", weights, "pretrained weights: .pth, .safetensors")->capture_default_str();
    app.add_option("--out", out, "folder for all that is written")->capture_default_str();
    app.add_option("--epochs", epochs, "of the thawed stage")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--size", size, "of images, in pixels")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--seed", seed, "of all that is random")->capture_default_str();
  }
};

/// Reads the command line, then calls `run()`. What goes wrong is one message and exit status 1.
template <class Run>
int main(CLI::App& app, int argc, char** argv, Run run) try {
  CLI11_PARSE(app, argc, argv);
  run();
  return EXIT_SUCCESS;
} catch (const c10::Error& error) {  // LibTorch's own, whose what() ends with a backtrace
  fmt::print(stderr, "{}\n", error.what_without_backtrace());
  return EXIT_FAILURE;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}

/// The same for a recipe: with its folder made, and all that is random fixed by its seed.
template <class Run>
int main(CLI::App& app, const Common& common, int argc, char** argv, Run run) {
  return main(app, argc, argv, [&] {
    std::filesystem::create_directories(common.out);
    thaw::seed(common.seed);
    run();
  });
}

}  // namespace example
