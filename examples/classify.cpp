// SPDX-License-Identifier: BSD-3-Clause
// What an image shows, by a network that export_model.cpp or image_classifier.cpp exported: all that a program needs.
//
//     classify fashion.safetensors boot.png

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <thaw/vision/classifier.hpp>

int main(int argc, char** argv) try {
  if (argc != 3) {
    fmt::print(stderr, "usage: classify <network> <image>\n");
    return EXIT_FAILURE;
  }
  const auto classifier = thaw::vision::Classifier::load(argv[1]);
  const auto seen = classifier.classify(std::filesystem::path(argv[2]));
  for (const auto& [name, probability] : seen.ranked) fmt::print("{:.3f} {}\n", probability, name);
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
