// SPDX-License-Identifier: BSD-3-Clause
// Staged fine-tuning by thaw on one device, as gpu.py asks for it, line by line, while PyTorch takes turns
// (peers/gpu_job.py):
//
//   {"job": {"model": "vit_b_16", "precision": "bfloat16"}}    makes network and data
//   {"stage": "head"}                                          runs it: head, thawed, finder, or check
//
// Each is answered by a line: {} or {"seconds": , "steps": , "loss": , "peak_mb": }; where it fails, {"error": }.

#include <ATen/Context.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <chrono>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <thaw/models/resnet.hpp>
#include <thaw/models/vit.hpp>
#include <thaw/thaw.hpp>
#include <thaw/weights/load.hpp>

namespace {

/// What both sides are told; gpu.py gives the numbers.
struct Job {
  std::string model = "resnet34", precision = "full", device = "cpu";
  std::string data = "device";  // where the images are when a step begins: there, or on the "host"
  std::string weights;          // a file of PyTorch's; empty: random ones
  std::int64_t pixels = 224, batch = 64, steps = 50, finder_steps = 100, classes = 10;
  bool cudnn_benchmark = false;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE_WITH_DEFAULT(Job, model, precision, device, data, weights, pixels, batch, steps,
                                              finder_steps, classes, cudnn_benchmark)
};

constexpr double head_lr = 2e-3, body_lr = 1e-5, top_lr = 1e-3;  // peaks of one-cycle
constexpr double finder_start = 1e-7, finder_end = 1e-2;         // no early stop: both sides do all steps

thaw::Precision precision_of(const std::string& name) {
  if (name == "bfloat16") return thaw::Precision::bfloat16;
  if (name == "float16") return thaw::Precision::float16;
  if (name != "full") throw std::invalid_argument("precision is full, bfloat16 or float16, not " + name);
  return thaw::Precision::full;
}

/// The same numbers as PyTorch's of the same seed.
struct Images {
  explicit Images(const Job& job) {
    at::manual_seed(0);
    input = at::randn({job.steps * job.batch, 3, job.pixels, job.pixels});
    target = at::randint(job.classes, {job.steps * job.batch}, at::kLong);
  }
  at::Tensor input, target;
};

/// The device's memory as the caching allocator gives it out. LibTorch has had one way to ask, whatever the device,
/// since 2.9 or so.
class Memory {
 public:
  explicit Memory(at::Device device) : device_(device) {}
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 11
  void begin() const {
    if (!device_.is_cpu()) allocator().resetPeakStats(index());
  }
  /// Null on a CPU.
  [[nodiscard]] nlohmann::json peak_mb(std::int64_t less) const {
    if (device_.is_cpu()) return nullptr;
    const auto bytes = allocator().getDeviceStats(index()).allocated_bytes;
    return static_cast<double>(bytes[static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak -
                               less) /
           (1 << 20);
  }

 private:
  [[nodiscard]] c10::DeviceAllocator& allocator() const { return *c10::getDeviceAllocator(device_.type()); }
  [[nodiscard]] c10::DeviceIndex index() const { return device_.has_index() ? device_.index() : c10::DeviceIndex{0}; }
#else
  void begin() const {}
  [[nodiscard]] nlohmann::json peak_mb(std::int64_t /*less*/) const { return nullptr; }
#endif

 private:
  at::Device device_;
};

class Side {
 public:
  Side(Job job, const Images& images) : job_(std::move(job)), device_(job_.device), memory_(device_) {
    at::globalContext().setBenchmarkCuDNN(job_.cudnn_benchmark);
    const bool on_device = job_.data == "device";
    if (!on_device && job_.data != "host") throw std::invalid_argument("data is device or host, not " + job_.data);
    thaw::InMemoryOptions data{
        .input = images.input, .target = images.target, .batch_size = job_.batch, .shuffle = true};
    first_ = {.input = images.input.slice(0, 0, job_.batch),
              .target = images.target.slice(0, 0, job_.batch),
              .batch_size = job_.batch};
    if (on_device && !device_.is_cpu()) {
      data.input = images.input.to(device_);
      data.target = images.target.to(device_);
      data_bytes_ = static_cast<std::int64_t>(images.input.nbytes() + images.target.nbytes());
    }
    thaw::LearnerOptions options{.precision = precision_of(job_.precision)};
    if (on_device)
      options.train = thaw::InMemory(std::move(data));
    else
      options.train = thaw::Prefetch{thaw::InMemory(std::move(data))};
    if (job_.model == "resnet34") {
      options.layout = thaw::Layout::channels_last;
      make(thaw::models::resnet34({.classes = job_.classes}), {"layer3", "fc"}, std::move(options));
    } else if (job_.model == "vit_b_16") {
      const auto model = thaw::models::vit_b_16({.classes = job_.classes, .image_size = job_.pixels});
      make(model, thaw::models::vit_cuts(*model), std::move(options));
    } else {
      throw std::invalid_argument("model is resnet34 or vit_b_16, not " + job_.model);
    }
  }

  nlohmann::json run(const std::string& stage) {
    if (stage == "check") return {{"loss", learner_->validate(thaw::InMemory(first_)).loss}};
    const auto all = thaw::DiscriminativeLR::slice(body_lr, top_lr);
    if (stage == "head")
      return timed(job_.steps, [&] {
        return learner_->fit({.name = "head", .freeze = thaw::FreezeTo{-1}, .lr = head_lr}).train_loss;
      });
    if (stage == "thawed")
      return timed(job_.steps,
                   [&] { return learner_->fit({.name = "thawed", .freeze = thaw::Unfrozen{}, .lr = all}).train_loss; });
    if (stage != "finder") throw std::invalid_argument("there is no stage " + stage);
    learner_->unfreeze();
    return timed(job_.finder_steps, [&] {
      return learner_
          ->find_lr({.start_lr = finder_start,
                     .end_lr = finder_end,
                     .steps = job_.finder_steps,
                     .stop_early = false,
                     .rates = all})
          .smoothed.back();
    });
  }

 private:
  template <class Model>
  void make(Model model, const std::vector<std::string>& cuts, thaw::LearnerOptions options) {
    if (!job_.weights.empty()) thaw::load_weights(model, job_.weights);
    model->to(device_);
    auto groups = thaw::LayerGroups::cut_before(model, cuts);
    learner_.emplace(std::move(model), std::move(groups), thaw::cross_entropy, std::move(options));
  }

  /// `stage()` returns its loss.
  template <class Stage>
  nlohmann::json timed(std::int64_t steps, Stage stage) {
    memory_.begin();
    synchronize();
    const auto start = std::chrono::steady_clock::now();
    const double loss = stage();
    synchronize();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    return {{"seconds", seconds.count()}, {"steps", steps}, {"loss", loss}, {"peak_mb", memory_.peak_mb(data_bytes_)}};
  }

  void synchronize() const {
    if (device_.is_cuda()) torch::cuda::synchronize();
  }

  Job job_;
  at::Device device_;
  Memory memory_;
  thaw::InMemoryOptions first_;  // the first batch
  std::int64_t data_bytes_ = 0;  // on the device
  std::optional<thaw::Learner> learner_;
};

/// The data is made once, if jobs want the same.
class Turns {
 public:
  nlohmann::json answer(const nlohmann::json& request) {
    if (!request.contains("job")) {
      if (!side_) throw std::logic_error("a job comes first");
      return side_->run(request.at("stage").get<std::string>());
    }
    const auto job = request.at("job").get<Job>();
    const std::vector<std::int64_t> shape{job.steps * job.batch, job.pixels, job.classes};
    side_.reset();
    if (!images_ || shape != shape_) {
      images_.reset();
      images_.emplace(job);
      shape_ = shape;
    }
    side_.emplace(job, *images_);
    return nlohmann::json::object();
  }

 private:
  std::optional<Images> images_;
  std::vector<std::int64_t> shape_;
  std::optional<Side> side_;
};

}  // namespace

int main() {
  Turns turns;
  for (std::string line; std::getline(std::cin, line);) {
    nlohmann::json answer;
    try {
      answer = turns.answer(nlohmann::json::parse(line));
    } catch (const std::exception& error) {
      answer = {{"error", error.what()}};
    }
    std::cout << answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
  }
}
