// SPDX-License-Identifier: BSD-3-Clause
// Images from disk: decoded, a random part of each at 224 px as the usual ImageNet training takes it, or the whole
// resized to --resize px, flipped, normalised, in batches. Prints one line of JSON; image_loading.py runs it beside
// PyTorch's DataLoader (peers/torch_images.py) and makes the table.
//
//   build/bench/benchmarks/image_loading --make DIR --count N --width N | --read DIR --workers N --resize N

#include "bench.hpp"

#include <ATen/Parallel.h>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <thaw/vision/geometry.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/write_image.hpp>

namespace {

namespace vision = thaw::vision;

/// JPEGs, 500 x 375 pixels as a photograph's: soft shapes with some grain. In two folders, as two classes.
void make(const std::filesystem::path& folder, int count, int width) {
  const cv::Size size(width, width * 3 / 4);
  cv::RNG random(1);
  for (int i = 0; i < count; ++i) {
    cv::Mat coarse(12, 16, CV_8UC3), image, grain(size, CV_8UC3);
    random.fill(coarse, cv::RNG::UNIFORM, 0, 256);
    cv::resize(coarse, image, size, 0, 0, cv::INTER_CUBIC);
    random.fill(grain, cv::RNG::NORMAL, 12, 6);
    const std::filesystem::path of_class = folder / (i % 2 == 0 ? "even" : "odd");
    std::filesystem::create_directories(of_class);
    vision::write_image(image + grain, of_class / (std::to_string(i) + ".jpg"));
  }
}

nlohmann::json read(const std::filesystem::path& folder, int workers, int resize) {
  cv::setNumThreads(1);
  at::set_num_threads(1);
  const vision::Transforms part{vision::RandomResizedCrop{.size = 224}, vision::Flip{}};
  const vision::ImageSource source({.images = vision::image_folder(folder),
                                    .transforms = resize > 0 ? vision::Transforms{vision::Resize{resize}, vision::Flip{}} : part,
                                    .normalization = thaw::imagenet_statistics,
                                    .batch_size = 32,
                                    .shuffle = true,
                                    .workers = workers});
  const double before = bench::cpu_seconds();
  std::int64_t images = 0;
  const double seconds = bench::timed([&] {
    thaw::BatchStream next = source.stream(0);
    while (const auto batch = next()) images += batch->size();
  });
  return {{"images", images}, {"seconds", seconds}, {"cpu_seconds", bench::cpu_seconds() - before}};
}

}  // namespace

int main(int argc, char** argv) try {
  std::map<std::string, std::string> options;
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  if (options.contains("--make"))
    make(options["--make"], std::stoi(options.at("--count")), std::stoi(options.at("--width")));
  else
    fmt::print("{}\n", read(options.at("--read"), std::stoi(options.at("--workers")), std::stoi(options.at("--resize")))
                           .dump());
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
