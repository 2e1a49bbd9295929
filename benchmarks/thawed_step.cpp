// SPDX-License-Identifier: BSD-3-Clause
// How near a thawed step is to its limit: one step of the Learner, all layers training and norms held, against the
// convolutions and matrix products in it, each alone, forward and backward, in the layout that is faster for it.
//
//   cmake --preset bench && cmake --build --preset bench && build/bench/benchmarks/thawed_step

#include "bench.hpp"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/report/detail/operator_log.hpp>
#include <thaw/thaw.hpp>

namespace {

constexpr std::int64_t batch_size = 32, pixels = 128;

using Sizes = std::vector<std::int64_t>;

/// A convolution or linear layer, and what it is given.
struct Product {
  at::Tensor weight;
  Sizes input;
  const torch::nn::Conv2dImpl* convolution;  // null: a linear layer
};

/// Those of one forward pass, in order.
template <class Model>
std::vector<Product> products_of(Model& model, const at::Tensor& images) {
  std::vector<Product> products;
  const c10::NoGradGuard no_grad;
  const thaw::detail::OperatorLog log([&](const thaw::detail::CalledOperator& called) {
    if (called.multiply_adds <= 0 || called.inputs.size() < 2) return;
    const at::Tensor& weight = called.inputs[1];
    Product product{.weight = weight, .input = called.inputs[0].sizes().vec(), .convolution = nullptr};
    for (const auto& module : model->modules())
      if (const auto* each = module->template as<torch::nn::Conv2dImpl>(); each && each->weight.is_same(weight))
        product.convolution = each;
    products.push_back(std::move(product));
  });
  (void)model->forward(images);
  return products;
}

/// The least of so many turns.
double least_of(int rounds, const std::function<void()>& turn) {
  return bench::least(rounds, {turn})[0];
}

/// Seconds of a convolution forward and backward. `of_images`: nobody needs the gradient of its input.
double seconds_of(const Product& product, bool of_images, int rounds, at::MemoryFormat format) {
  const auto& options = product.convolution->options;
  const at::Tensor x = at::randn(product.input).contiguous(format), weight = product.weight.detach().contiguous(format);
  const at::IntArrayRef stride = *options.stride(), padding = *std::get<0>(options.padding()),
                        dilation = *options.dilation();
  const at::Tensor y = at::conv2d(x, weight, {}, stride, padding, dilation, options.groups());
  const at::Tensor g = at::randn(y.sizes()).contiguous(format);
  return least_of(rounds, [&] {
    (void)at::conv2d(x, weight, {}, stride, padding, dilation, options.groups());
    (void)at::convolution_backward(g, x, weight, c10::nullopt, stride, padding, dilation, /*transposed=*/false, {0, 0},
                                   options.groups(), {!of_images, true, false});
  });
}

/// Of a linear layer.
double seconds_of(const Product& product, int rounds) {
  const at::Tensor x = at::randn(product.input), weight = product.weight.detach();
  const at::Tensor g = at::randn({product.input[0], weight.size(0)});
  return least_of(rounds, [&] { (void)at::linear(x, weight), (void)at::mm(g, weight), (void)at::mm(g.t(), x); });
}

template <class Model>
void compare(const std::string& name, Model model, int rounds, bench::Report& report) {
  const at::Tensor images = at::randn({batch_size, 3, pixels, pixels});
  double limit = 0;
  bool first = true;
  for (const Product& product : products_of(model, images)) {
    limit += product.convolution == nullptr
                 ? seconds_of(product, rounds)
                 : std::min(seconds_of(product, first, rounds, at::MemoryFormat::ChannelsLast),
                            seconds_of(product, first, rounds, at::MemoryFormat::Contiguous));
    first = false;
  }
  const auto train =
      thaw::InMemory({.input = images, .target = at::randint(10, {batch_size}, at::kLong), .batch_size = batch_size});
  thaw::Learner learner(model, thaw::LayerGroups::per_child(model), thaw::cross_entropy, {.train = train});
  const thaw::Stage stage{.freeze = thaw::Unfrozen{}, .norm = thaw::hold_everywhere};
  (void)learner.fit(stage);
  const double step = least_of(rounds, [&] { (void)learner.fit(stage); });
  report.add(fmt::format("a thawed step of {} at {} px, its products alone", name, pixels), step, limit, "s",
             bench::Target::at_most, 1.15);
}

}  // namespace

int main(int count, char** words) {
  const bench::Arguments arguments(count, words);
  const int rounds = arguments.quick ? 2 : 7;
  bench::Report report;
  compare("resnet34", thaw::models::resnet34({.classes = 10}), rounds, report);
  compare("efficientnet_lite0", thaw::models::efficientnet_lite0({.classes = 10}), rounds, report);
  report.finish(arguments);
}
