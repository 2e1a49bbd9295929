// Images from disk, as the usual ImageNet training reads them: decoded, a random part of each at 224 px, flipped,
// normalised, in batches. Prints one line of JSON; image_loading.py runs it beside PyTorch's DataLoader
// (peers/torch_images.py) and makes the table.
//
//   build/bench/benchmarks/image_loading --make DIR --count N | --read DIR --workers N

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

/// JPEGs of 500 x 375 pixels, as large as a photograph's: soft shapes with some grain. In two folders, as two classes.
void make(const std::filesystem::path& folder, int count) {
  cv::RNG random(1);
  for (int i = 0; i < count; ++i) {
    cv::Mat coarse(12, 16, CV_8UC3), image, grain(375, 500, CV_8UC3);
    random.fill(coarse, cv::RNG::UNIFORM, 0, 256);
    cv::resize(coarse, image, {500, 375}, 0, 0, cv::INTER_CUBIC);
    random.fill(grain, cv::RNG::NORMAL, 12, 6);
    const std::filesystem::path of_class = folder / (i % 2 == 0 ? "even" : "odd");
    std::filesystem::create_directories(of_class);
    vision::write_image(image + grain, of_class / (std::to_string(i) + ".jpg"));
  }
}

nlohmann::json read(const std::filesystem::path& folder, int workers) {
  cv::setNumThreads(1);
  at::set_num_threads(1);
  const vision::ImageSource source({.images = vision::image_folder(folder),
                                    .transforms = {vision::RandomResizedCrop{.size = 224}, vision::Flip{}},
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
    make(options["--make"], std::stoi(options.at("--count")));
  else
    fmt::print("{}\n", read(options.at("--read"), std::stoi(options.at("--workers"))).dump());
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
