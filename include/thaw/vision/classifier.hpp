// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/GradMode.h>
#include <c10/core/MemoryFormat.h>
#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>
#include <torch/csrc/jit/serialization/import.h>
#include <opencv2/core.hpp>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/convolution_weights.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/first_line.hpp>
#include <thaw/core/module_ptr.hpp>
#include <thaw/groups/script_module.hpp>
#include <thaw/models/make.hpp>
#include <thaw/vision/detail/look.hpp>
#include <thaw/vision/export_info.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/normalization.hpp>
#include <thaw/weights/export.hpp>
#include <thaw/weights/load.hpp>
#include <thaw/weights/read_weights.hpp>

namespace thaw::vision {

/// A class, and how probable it is.
struct ClassProbability {
  std::string name;
  double probability = 0;
};

/// What an image shows.
struct Classification {
  std::string name = {};  ///< of the most probable class
  double probability = 0;
  std::vector<ClassProbability> ranked = {};  ///< all classes, the most probable first
};

/// A trained network as a program uses it: from an image to the names of classes. Needs no Learner and no code of the
/// network's own.
///
///     const auto classifier = thaw::vision::Classifier::load("net.safetensors");
///     fmt::print("{}\n", classifier.classify("cat.jpg").name);
///
/// Images are prepared as the export says, bit for bit as the ImageSource that it was made of prepares them, and the
/// network, in evaluation mode, gives the same bits as Learner::predict by default. Copies share the network; one
/// thread at a time may use them. Link thaw::io beside thaw::vision.
class Classifier {
 public:
  /// Reads what export_model wrote, of a network that models::make knows by its name, with its own classifier,
  /// linear_head or create_head, and with the options "bn_eps" and "positions" (NetworkOptions::image_size); or what
  /// export_script wrote, of any network. The latter is a program, which runs: load none from a source that you do not
  /// trust. Throws FileError for any other file, and for one whose network gives other outputs here than where it was
  /// exported.
  [[nodiscard]] static Classifier load(const std::filesystem::path& path, const at::Device& device = at::kCPU) {
    const ExportInfo info = read_export(path);
    try {
      (void)prepared_as(info);  // what cannot be used is not built
      return is_script(path) ? of(info, script(path, device), path) : of(info, made(path, info, device), path);
    } catch (const ConfigError& error) {
      throw FileError(path.string(), error.problem(), error.fix());
    }
  }

  /// Of a network that code of your own has built and loaded: a module holder or shared_ptr of it. It is put into
  /// evaluation mode. Throws ConfigError for an export whose preprocessing is not known.
  template <class Model>
  requires requires(Model model, const at::Tensor& x) { at::Tensor(model->forward(x)); }
  Classifier(ExportInfo info, Model model)
      : info_(std::move(info)),
        options_(prepared_as(info_)),
        like_(detail::like_weights(*thaw::detail::module_ptr(model))),
        forward_([model](const at::Tensor& x) mutable { return at::Tensor(model->forward(x)); }) {
    model->eval();
  }

  /// What an image file shows; an image of RGB as read_image gives it; bytes [C, H, W] of RGB as torchvision's
  /// read_image gives them. Throws FileError for what cannot be read, DataError for a tensor of another kind.
  [[nodiscard]] Classification classify(const std::filesystem::path& image) const { return ranked(prepare(image)); }
  [[nodiscard]] Classification classify(const cv::Mat& image) const { return ranked(prepare(image)); }
  [[nodiscard]] Classification classify(const at::Tensor& image) const { return ranked(prepare(image)); }

  /// What the network sees of an image: [C, image_size, image_size], normalised.
  [[nodiscard]] at::Tensor prepare(const std::filesystem::path& image) const {
    ImageSourceOptions options = options_;
    options.images.items = {{.path = image, .labels = {0}}};
    return to_tensor(ImageSource(std::move(options)).sample(0).image, options_.normalization);
  }
  [[nodiscard]] at::Tensor prepare(const cv::Mat& image) const {
    Sample sample{.image = image};
    Random unused(0);
    options_.transforms(sample, unused);
    return to_tensor(sample.image, options_.normalization);
  }
  [[nodiscard]] at::Tensor prepare(const at::Tensor& image) const {
    const auto channels = std::ssize(info_.mean);
    if (image.dim() != 3 || image.size(0) != channels || image.scalar_type() != at::kByte)
      throw DataError(
          "Classifier", c10::str("a tensor ", image.sizes(), " of ", image.scalar_type()),
          "give bytes [" + std::to_string(channels) + ", H, W]; of what is prepared already ask probabilities(batch)");
    const at::Tensor pixels = image.to(at::kCPU).permute({1, 2, 0}).contiguous();
    return prepare(cv::Mat(static_cast<int>(pixels.size(0)), static_cast<int>(pixels.size(1)),
                           CV_8UC(static_cast<int>(channels)), pixels.data_ptr()));
  }

  /// Of prepared images [N, C, H, W]: [N, classes] on the CPU, by softmax; by sigmoid where several classes may be
  /// true.
  [[nodiscard]] at::Tensor probabilities(const at::Tensor& batch) const {
    const c10::NoGradGuard no_grad;
    const at::Tensor logits = forward_(batch.to(like_)).to(at::kCPU);
    return options_.predict == Predict::labels ? logits.sigmoid() : logits.softmax(1);
  }
  /// The classes by such probabilities [classes], the most probable first.
  [[nodiscard]] Classification ranked_by(const at::Tensor& probabilities) const {
    const auto [values, order] = probabilities.to(at::kDouble).sort(/*dim=*/0, /*descending=*/true);
    Classification result;
    for (std::int64_t i = 0; i < values.numel(); ++i)
      result.ranked.push_back(
          {info_.classes.at(static_cast<std::size_t>(order[i].item<std::int64_t>())), values[i].item<double>()});
    result.name = result.ranked.at(0).name;
    result.probability = result.ranked[0].probability;
    return result;
  }

  [[nodiscard]] const ExportInfo& info() const { return info_; }

 private:
  /// By what the export says of its outputs, that it is the network.
  template <class Model>
  static Classifier of(const ExportInfo& info, const Model& model, const std::filesystem::path& path) {
    check_export(model, info, path);
    return {info, model};
  }
  static ScriptModule script(const std::filesystem::path& path, const at::Device& device) {
    try {
      return ScriptModule(torch::jit::load(path.string(), device));
    } catch (const c10::Error& error) {
      throw FileError(path.string(), "is no program that this LibTorch can run: " + thaw::detail::first_line(error),
                      "export it again, by a LibTorch that is not newer");
    }
  }
  static models::Network made(const std::filesystem::path& path, const ExportInfo& info, const at::Device& device) {
    models::Shapes shapes;
    for (const auto& [name, tensor] : read_weights(path)) shapes[name] = tensor.sizes().vec();
    models::NetworkOptions options{.classes = std::ssize(info.classes), .in_channels = std::ssize(info.mean)};
    const auto read = [&](const char* name, auto value) -> std::optional<decltype(value)> {
      const auto found = info.options.find(name);
      if (found == info.options.end()) return std::nullopt;
      const char* const end = found->second.data() + found->second.size();
      if (std::from_chars(found->second.data(), end, value).ptr == end && !found->second.empty()) return value;
      throw ConfigError("Classifier", std::string("the export's option \"") + name + "\" is \"" + found->second + "\"",
                        "export it with a number");
    };
    options.bn_eps = read("bn_eps", double{});
    options.image_size = read("positions", std::int64_t{});
    models::Network network = models::make(info.model, options, shapes);
    load_weights(network, path);
    network->to(device);
    if (device.is_cpu())  // as Layout::automatic has it in a Learner: faster, and with that the same bits
      for (const at::Tensor& weight : thaw::detail::convolution_weights(*network))
        weight.set_data(weight.contiguous(at::MemoryFormat::ChannelsLast));
    return network;
  }

  [[nodiscard]] Classification ranked(const at::Tensor& image) const {
    return ranked_by(probabilities(image.unsqueeze(0))[0]);
  }

  ExportInfo info_;
  ImageSourceOptions options_;  // without images
  at::TensorOptions like_;
  std::function<at::Tensor(const at::Tensor&)> forward_;
};

}  // namespace thaw::vision
