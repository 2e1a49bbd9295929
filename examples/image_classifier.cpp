// Fine-tunes an ImageNet network on a folder of images: train/ and valid/, a folder for each class, or a CSV file.
//
//     image_classifier --data flowers --weights resnet34-b627a593.pth --model resnet34
//
// The whole recipe: head, thawed with discriminative rates, larger images (progressive resizing), each at the rate that
// the finder recommends, with augmentation throughout; then what it still takes for what. By default it takes what
// ./dev fetched: EfficientNet-lite0 and Fashion-MNIST, of which it makes such a folder.

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thaw/find/suggest.hpp>
#include <thaw/report/class_results.hpp>
#include <thaw/report/console.hpp>
#include <thaw/report/html_report.hpp>
#include <thaw/report/lr_plot.hpp>
#include <thaw/report/run_plot.hpp>
#include <thaw/train/keep_best.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/contact_sheet.hpp>
#include <thaw/vision/image_data.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/loss_tiles.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/split.hpp>
#include <vector>

#include "cli.hpp"
#include "fashion_folder.hpp"
#include "networks.hpp"

namespace {

struct Options : example::Common {
  std::string model = "efficientnet_lite0";
  std::int64_t per_class = 0;  // images to train on; 0: 80 % of all
  std::int64_t head_epochs = 3, larger_epochs = 3;
  double rate = 0;  // 0: as the finder recommends
  int larger = 0;
  bool flip = true;
};

/// What is trained on, and what is held back.
thaw::vision::Split images(const Options& options) {
  if (options.data.empty()) {  // Fashion-MNIST comes with a test set of its own
    const std::filesystem::path data = std::filesystem::path(THAW_DATA_DIR) / "fashion-mnist";
    const auto train = thaw::vision::image_folder(example::fashion_folder(data, options.out, "train", 2000));
    auto test = thaw::vision::image_folder(example::fashion_folder(data, options.out, "t10k", 2000), train.classes);
    if (options.per_class == 0) return {train, test};
    return {thaw::vision::split_per_class(train, options.per_class, options.seed).train, test};
  }
  const auto data = thaw::vision::image_data(options.data, {.per_class = options.per_class, .seed = options.seed});
  fmt::print("{}\n", data.how);
  return {data.train, data.valid};
}

void run(const Options& options) {
  cv::setNumThreads(1);  // images are read by threads of ours
  const auto [train, valid] = images(options);
  fmt::print("{} images to train on, {} held back, {} classes\n", train.size(), valid.size(), train.classes.size());
  const example::Network network = example::network(options.model, std::ssize(train.classes), options.weights);

  // Training images are cropped and changed at random, the others are shown as they are.
  int size = options.size;
  const auto augmented = [&, &train = train] {
    using namespace thaw::vision;
    return ImageSource(
        {.images = train,
         .transforms = {RandomResizedCrop{.size = size, .min_scale = 0.7}, aug_transforms({.flip = options.flip})},
         .normalization = network.statistics,
         .batch_size = 32,
         .shuffle = true,
         .seed = options.seed});
  };
  const auto plain = [&, &valid = valid] {
    using namespace thaw::vision;
    return ImageSource({.images = valid, .transforms = {Resize{size}}, .normalization = network.statistics});
  };

  // A page about the run: as each stage ends, it shows what is taken for what, and the images with the largest losses.
  const auto look = [&](thaw::Learner& learner, thaw::HtmlPart& page) {
    using namespace thaw::vision;
    const ImageSource source = plain();
    const auto& classes = source.images().classes;
    const thaw::ClassResults results = thaw::class_results(learner, source, {.classes = classes}, {.most = 18});
    add_to(page, results);
    page.picture(to_picture(contact_sheet(loss_tiles(results.losses, source), {.columns = 6}),
                            "The largest losses: predicted / actual, loss / probability"));
  };
  const thaw::HtmlReport report{
      .path = options.out / "run.html", .title = options.model, .results = look, .results_per_stage = true};
  const auto learner = network.learner(
      {.train = augmented(), .valid = plain(), .metrics = {thaw::accuracy()}, .callbacks = {thaw::Console{}, report}});

  // Each stage takes the last rate before the finder's loss rises, and can only gain: it ends with its best epoch, or
  // as it began.
  const auto rate = [&](const thaw::DiscriminativeLR& ratios) {
    if (options.rate > 0) return options.rate;
    const thaw::LRCurve curve = learner->find_lr({.rates = ratios});
    thaw::write_svg(curve, options.out / "lr_finder.svg");
    const double found = thaw::recommended_lr(curve);
    fmt::print("the finder's rate, just before the loss rises: {:.1e}\n", found);
    return found;
  };
  const auto fit = [&](const std::string& name, std::int64_t epochs, const thaw::DiscriminativeLR& lr) {
    learner->fit({.name = name, .epochs = epochs, .lr = lr}, thaw::KeepBest{"accuracy"});
  };

  // 1. The head alone. Its weights are random: what they would send back through the body is noise. Batch norm is held
  // from here to the end: a few hundred images are too few to measure its statistics anew.
  learner->freeze(thaw::hold_everywhere);
  fit("head", options.head_epochs, rate(1.0));

  // 2. All of it, early layers more slowly than late ones.
  learner->unfreeze(thaw::hold_everywhere);
  const double thawed = rate(thaw::DiscriminativeLR::slice(0.1, 1));
  fit("thawed", options.epochs, thaw::DiscriminativeLR::slice(thawed / 10, thawed));

  // 3. The same weights on larger images: finer detail, and a last bit of accuracy. Where it brings none, the network
  // and the size of before are kept.
  const auto accuracy = [&] { return learner->validate().metrics[0].value; };
  const double before = accuracy();
  learner->save(options.out / "classifier.pt");
  size = options.larger > 0 ? options.larger : static_cast<int>(std::lround(options.size * 4.0 / 3));
  learner->data({.train = augmented(), .valid = plain()});
  const double larger = rate(thaw::DiscriminativeLR::slice(0.1, 1));
  fit(fmt::format("{} px", size), options.larger_epochs, thaw::DiscriminativeLR::slice(larger / 10, larger));
  if (accuracy() < before) {
    fmt::print("{:.3f} at {} px, so {:.3f} at {} px is kept\n", accuracy(), size, before, options.size);
    size = options.size;
    learner->data({.train = augmented(), .valid = plain()});
    learner->load(options.out / "classifier.pt");
  }

  thaw::write_svg(learner->history(), options.out / "run.svg");
  network.export_to(options.out / "classifier.safetensors",
                    {.model = network.name,
                     .classes = train.classes,
                     .mean = {network.statistics.mean.begin(), network.statistics.mean.end()},
                     .std = {network.statistics.std.begin(), network.statistics.std.end()},
                     .image_size = size});
  const thaw::vision::ImageSource held_back = plain();
  fmt::print("\n{}\n", thaw::class_results(*learner, held_back, {.classes = train.classes}));
  fmt::print("ok: valid accuracy {:.3f}, after {} epochs; see {}\n", accuracy(),
             learner->history().epochs.size(), (options.out / "run.html").string());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.epochs = 12;
  options.weights = std::filesystem::path(THAW_DATA_DIR) / "efficientnet-lite0-57934424.pth";
  CLI::App app("Fine-tunes an ImageNet network on a folder of images with a folder for each class.");
  options.add_to(app);
  app.add_option("--model", options.model, "which network the weights are of")->capture_default_str();
  app.add_option("--per-class", options.per_class, "images of each class to train on; 0: 80 % of all");
  app.add_option("--head-epochs", options.head_epochs)->capture_default_str();
  app.add_option("--larger-epochs", options.larger_epochs)->capture_default_str();
  app.add_option("--larger", options.larger, "size of the last stage; 0: four thirds of --size");
  app.add_option("--rate", options.rate, "of the last layers in each stage; 0: by the rate finder");
  app.add_flag("--flip,!--no-flip", options.flip, "whether left and right may be exchanged");
  return example::main(app, options, argc, argv, [&] { run(options); });
}
