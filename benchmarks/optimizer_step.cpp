// SPDX-License-Identifier: BSD-3-Clause
// One optimizer step on resnet34's 21.8 million parameters: thaw's, LibTorch's own, and LibTorch's bare fused kernel.
//
//   cmake --preset bench && cmake --build --preset bench && build/bench/benchmarks/optimizer_step

#include "bench.hpp"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/nn/utils/clip_grad.h>

#include <memory>
#include <thaw/models/resnet.hpp>
#include <thaw/optim/adamw.hpp>
#include <thaw/optim/sgd.hpp>
#include <thaw/train/gradient_clip.hpp>

namespace {

/// Parameters with gradients, each side its own.
std::vector<at::Tensor> parameters() {
  const auto model = thaw::models::resnet34();
  std::vector<at::Tensor> all = model->parameters();
  for (at::Tensor& parameter : all) parameter.mutable_grad() = at::randn_like(parameter);
  return all;
}

struct Bare {
  std::vector<at::Tensor> parameters = ::parameters(), gradients, first, second, steps;
  Bare() {
    for (const at::Tensor& parameter : parameters) {
      gradients.push_back(parameter.grad());
      first.push_back(at::zeros_like(parameter));
      second.push_back(at::zeros_like(parameter));
      steps.push_back(at::tensor(1.f));
    }
  }
  void adamw() {
    const c10::NoGradGuard no_grad;
    at::_fused_adamw_(parameters, gradients, first, second, {}, steps, 1e-3, .9, .99, 1e-2, 1e-5, false, false);
  }
  void sgd() {
    const c10::NoGradGuard no_grad;
    at::_fused_sgd_(parameters, gradients, first, 0, .9, 1e-3, 0, false, false, false);
  }
};

}  // namespace

int main(int count, char** words) {
  const bench::Arguments arguments(count, words);
  const int rounds = arguments.quick ? 7 : 25;
  bench::Report report;
  {
    const auto options = thaw::AdamW::fastai_defaults();
    Bare bare;
    thaw::AdamW ours(parameters(), options);
    torch::optim::AdamW theirs(parameters(), options);
    const auto s = bench::interleaved(rounds, {[&] { ours.step(); }, [&] { bare.adamw(); }, [&] { theirs.step(); }});
    report.add("AdamW, against the bare fused kernel", s[0] * 1e3, s[1] * 1e3, "ms", bench::Target::at_most, 1.15);
    report.add("AdamW, against torch::optim::AdamW", s[0] * 1e3, s[2] * 1e3, "ms", bench::Target::at_least, 4);
  }
  {
    const auto options = torch::optim::SGDOptions(1e-3).momentum(.9);
    Bare bare;
    thaw::SGD ours(parameters(), options);
    torch::optim::SGD theirs(parameters(), options);
    const auto s = bench::interleaved(rounds, {[&] { ours.step(); }, [&] { bare.sgd(); }, [&] { theirs.step(); }});
    report.add("SGD with momentum, against the bare fused kernel", s[0] * 1e3, s[1] * 1e3, "ms", bench::Target::at_most,
               1.15);
    report.add("SGD with momentum, against torch::optim::SGD", s[0] * 1e3, s[2] * 1e3, "ms", bench::Target::at_least,
               1);
  }
  {
    const auto theirs = parameters();
    const auto model = thaw::models::resnet34();
    const auto groups = thaw::LayerGroups::cut_before(model, {"fc"});
    for (at::Tensor& parameter : model->parameters()) parameter.mutable_grad() = at::randn_like(parameter);
    const auto s = bench::interleaved(rounds, {[&] { (void)thaw::clip_gradient_norm(groups, 1e9); },
                                               [&] { (void)torch::nn::utils::clip_grad_norm_(theirs, 1e9); }});
    report.add("gradient norm, against clip_grad_norm_", s[0] * 1e3, s[1] * 1e3, "ms", bench::Target::at_most, 1.15);
  }
  report.finish(arguments);
}
