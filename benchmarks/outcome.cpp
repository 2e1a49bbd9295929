// One arm of the outcome benchmark, once, in a process of its own: EfficientNet-lite0 on few images. Prints one line of
// JSON; outcome.py runs it beside fastai (peers/fastai_outcome.py) and makes the table.
//
//   build/bench/benchmarks/outcome --arm images|recipe|fine_tune|one_rate|random --job '{"data": "sign-digits", ...}'
//
// `images` writes what all but the recipe train on, and what all are validated on: bytes, resized once, for Python too.
// Seconds are the processor's, of training alone.

#include "bench.hpp"

#include <ATen/Context.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/stack.h>

#include <filesystem>
#include <memory>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/thaw.hpp>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/split.hpp>
#include <thaw/weights/load.hpp>
#include <thaw/weights/save.hpp>

#include "../examples/fashion_folder.hpp"

namespace {

namespace vision = thaw::vision;
using thaw::DiscriminativeLR;
using thaw::models::EfficientNetLite;

/// What every arm is told; outcome.py gives the numbers.
struct Job {
  std::string data, weights, images;  // a folder, Fashion-MNIST's or one per class; a file; the file of `images`
  std::uint64_t seed = 42;
  std::int64_t per_class = 50, of_fashion = 2000;
  int size = 96, larger = 128;
  std::int64_t head_epochs = 3, thawed_epochs = 12, larger_epochs = 3, fine_tune_epochs = 10;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE_WITH_DEFAULT(Job, data, weights, images, seed, per_class, of_fashion, size, larger,
                                              head_epochs, thawed_epochs, larger_epochs, fine_tune_epochs)
};

vision::Split split(const Job& job) {
  const std::filesystem::path data = job.data;
  if (!std::filesystem::exists(data / "train-images-idx3-ubyte"))
    return vision::split_per_class(vision::image_folder(data), job.per_class, job.seed);
  const auto folder = [&](const char* part) {
    return example::fashion_folder(data, std::filesystem::path(job.images).parent_path(), part, job.of_fashion);
  };
  auto train = vision::image_folder(folder("train"));
  auto valid = vision::image_folder(folder("t10k"), train.classes);
  return {std::move(train), std::move(valid)};
}

void write_images(const Job& job) {
  thaw::StateDict all;
  const vision::Split images = split(job);
  for (const auto& [name, list] : {std::pair("train", images.train), std::pair("valid", images.valid)}) {
    const vision::ImageSource source(
        {.images = list, .transforms = {vision::Resize{job.larger}}, .normalization = thaw::lite_statistics});
    std::vector<at::Tensor> pixels;
    for (std::int64_t i = 0; i < source.samples(); ++i) {
      const cv::Mat image = source.sample(i).image;
      pixels.push_back(at::from_blob(image.data, {image.rows, image.cols, 3}, at::kByte).permute({2, 0, 1}).clone());
    }
    all.insert(std::string(name) + ".images", at::stack(pixels));
    all.insert(std::string(name) + ".labels", source.targets()[0]);
  }
  thaw::save_weights(all, job.images);
}

thaw::InMemory batches(const Job& job, const std::string& part) {
  const thaw::StateDict all = thaw::read_weights(job.images);
  const auto normalized = [](const at::Tensor& bytes) -> at::Tensor {
    return (bytes.to(at::kFloat) / 255 - thaw::lite_statistics.mean[0]) / thaw::lite_statistics.std[0];
  };
  return thaw::InMemory({.input = all.at(part + ".images"),
                         .target = all.at(part + ".labels"),
                         .batch_size = 32,
                         .shuffle = part == "train",
                         .transform = normalized});
}

struct Arm {
  EfficientNetLite model = thaw::models::efficientnet_lite0();
  std::unique_ptr<thaw::Learner> learner;

  Arm(const Job& job, bool pretrained, const thaw::DataSource& train, std::vector<std::string> cuts) {
    at::manual_seed(job.seed);
    if (pretrained) thaw::load_weights(model, job.weights);
    thaw::models::replace_head(model, thaw::models::linear_head(model->head_features(), 10));
    learner = std::make_unique<thaw::Learner>(model, thaw::LayerGroups::cut_before(model, std::move(cuts)),
                                              thaw::cross_entropy,
                                              thaw::LearnerOptions{.train = train, .metrics = {thaw::accuracy()}});
  }
};

/// What ../examples/image_classifier.cpp does, without its finder and its page.
void recipe(const Job& job, thaw::Learner& learner, const std::function<vision::ImageSource(int)>& images) {
  constexpr double rate = 2e-3;
  learner.fit({.name = "head",
               .epochs = job.head_epochs,
               .freeze = thaw::FreezeTo{-1},
               .lr = 3e-3,
               .norm = thaw::hold_everywhere});
  learner.unfreeze(thaw::hold_everywhere);
  learner.fit({.name = "thawed", .epochs = job.thawed_epochs, .lr = DiscriminativeLR::slice(rate / 10, rate)});
  learner.data({.train = images(job.larger)});
  learner.fit({.name = "larger", .epochs = job.larger_epochs, .lr = DiscriminativeLR::slice(rate / 30, rate / 3)});
}

nlohmann::json run(const std::string& name, const Job& job) {
  cv::setNumThreads(1);
  if (name == "images") return write_images(job), nlohmann::json::object();
  const auto cuts = thaw::models::efficientnet_lite_cuts();
  const auto result = [&](Arm& arm, const std::function<void(thaw::Learner&)>& train) -> nlohmann::json {
    const double before = bench::cpu_seconds();
    train(*arm.learner);
    const double seconds = bench::cpu_seconds() - before;
    return {{"accuracy", arm.learner->validate(batches(job, "valid")).metrics[0].value}, {"seconds", seconds}};
  };
  if (name == "recipe") {
    const vision::ImageList train = split(job).train;
    const auto images = [&](int size) {
      return vision::ImageSource(
          {.images = train,
           .transforms = {vision::RandomResizedCrop{.size = size, .min_scale = 0.7}, vision::aug_transforms()},
           .normalization = thaw::lite_statistics,
           .batch_size = 32,
           .shuffle = true,
           .seed = job.seed,
           .workers = 1});
    };
    Arm arm(job, true, images(job.size), cuts);
    return result(arm, [&](thaw::Learner& learner) { recipe(job, learner, images); });
  }
  const thaw::InMemory train = batches(job, "train");
  const std::int64_t epochs = 1 + job.fine_tune_epochs;
  if (name == "fine_tune") {  // fastai trains the norm layers of frozen groups, too
    Arm arm(job, true, train, cuts);
    return result(arm, [&](thaw::Learner& learner) {
      learner.fine_tune(job.fine_tune_epochs, 2e-3, {.norm = {.frozen = thaw::Norm::train}});
    });
  }
  if (name == "one_rate") {
    Arm arm(job, true, train, {});
    return result(arm, [&](thaw::Learner& learner) { learner.fit({.epochs = epochs, .lr = 1e-3}); });
  }
  if (name == "random") {  // this network's own norm momentum, .01, would be too slow for weights that move so fast
    Arm arm(job, false, train, {});
    thaw::set_norm_momentum(*arm.model, 0.1);
    return result(arm, [&](thaw::Learner& learner) { learner.fit({.epochs = epochs, .lr = 3e-3}); });
  }
  throw thaw::ConfigError("--arm", "there is no \"" + name + "\"",
                          "take one of images, recipe, fine_tune, one_rate, random");
}

}  // namespace

int main(int argc, char** argv) try {
  std::string arm;
  Job job;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string_view(argv[i]) == "--arm") arm = argv[i + 1];
    if (std::string_view(argv[i]) == "--job") job = nlohmann::json::parse(argv[i + 1]).get<Job>();
  }
  fmt::print("{}\n", run(arm, job).dump());
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
