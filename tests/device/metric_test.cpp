// SPDX-License-Identifier: BSD-3-Clause
// Losses and metrics on the device: the CPU's numbers, without waiting for them batch by batch.
#include <thaw/train/metric.hpp>

#include <ATen/ops/rand.h>
#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <optional>
#include <thaw/train/label_thresholds.hpp>
#include <thaw/train/loss_dice.hpp>
#include <thaw/train/metric_auroc.hpp>
#include <thaw/train/metric_f_beta.hpp>
#include <thaw/train/metric_multi_label.hpp>
#include <thaw/train/metric_perplexity.hpp>
#include <thaw/train/metric_regression.hpp>
#include <thaw/train/metric_segmentation.hpp>
#include <thaw/train/metric_total.hpp>

#include "device/bench.hpp"

using thaw::Metric;
using thaw::test::is_simulated;
using thaw::test::near;
using thaw::test::test_device;

namespace {

struct Case {
  const char* name;
  at::Tensor output, target;
};

at::Tensor logits(at::IntArrayRef sizes) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(4), at::kDouble);
}
at::Tensor labels(at::IntArrayRef sizes, std::int64_t classes) {
  return at::randint(classes, sizes, at::make_generator<at::CPUGeneratorImpl>(5), at::kLong);
}
const Case classes{"classes", logits({12, 4}), labels({12}, 4)};
const Case two{"two classes", logits({12, 2}), labels({12}, 2)};
const Case binary{"one logit", logits({12}), labels({12}, 2)};
const Case many{"labels", logits({12, 3}), labels({12, 3}, 2)};
const Case values{"values", logits({12, 3}), logits({12, 3}) * 2 + 1};
const Case pixels{"pixels", logits({3, 4, 5, 5}), labels({3, 5, 5}, 4)};

void check_metric(const Metric& metric, const Case& on) {
  CAPTURE(metric.name, on.name);
  thaw::MetricTotal here{metric}, there{metric};
  here.add(on.output, on.target), here.add(on.output * 2, on.target);
  const at::Tensor output = on.output.to(test_device()), target = on.target.to(test_device());
  {
    std::optional<thaw::test::accelerator::NoSync> refused;
    if (is_simulated()) refused.emplace();
    there.add(output, target), there.add(output * 2, target);
    CHECK(there.value().device() == test_device());
  }
  const auto expected = here.values(), found = there.values();
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(near(found[i].value, expected[i].value));
}

template <class Loss>
void check_loss(const char* name, const Loss& loss, const Case& on) {
  CAPTURE(name, on.name);
  const auto gradient = [&](const at::Tensor& output, const at::Tensor& target) {
    const at::Tensor given = output.detach().requires_grad_();
    loss(given, target).backward();
    return given.grad();
  };
  const at::Tensor output = on.output.to(test_device()), target = on.target.to(test_device());
  CHECK(near(loss(output, target), loss(on.output, on.target)));
  CHECK(near(gradient(output, target), gradient(on.output, on.target)));
  CHECK_NOTHROW(loss.check(output, target));
  std::optional<thaw::test::accelerator::NoSync> refused;
  const auto moved = thaw::detail::loss_on(test_device(), loss);  // as a Learner does
  if (is_simulated()) refused.emplace();
  moved(output.detach().requires_grad_(), target).backward();
}

}  // namespace

TEST_CASE("every metric is the same on the device, and waits for it but at the end") {
  for (const Case* each : {&classes, &two, &pixels}) {
    check_metric(thaw::accuracy(), *each);
    check_metric(thaw::accuracy({.ignore_index = 1}), *each);
    check_metric(thaw::top_k(2), *each);
    check_metric(thaw::perplexity(), *each);
    for (const thaw::Average average : {thaw::Average::macro, thaw::Average::micro, thaw::Average::each}) {
      check_metric(thaw::precision({.average = average}), *each);
      check_metric(thaw::recall({.average = average, .ignore_index = 1}), *each);
      check_metric(thaw::f_beta({.beta = 2, .average = average}), *each);
      check_metric(thaw::dice({.average = average}), *each);
      check_metric(thaw::iou({.average = average, .background = false, .ignore_index = 1}), *each);
    }
  }
  for (const Case* each : {&classes, &two, &binary, &many}) check_metric(thaw::auroc(), *each);
  check_metric(thaw::auroc({.average = thaw::Average::each}), classes);
  for (const thaw::Average average :
       {thaw::Average::macro, thaw::Average::micro, thaw::Average::each, thaw::Average::samples}) {
    check_metric(thaw::multi_label_precision({.average = average}), many);
    check_metric(thaw::multi_label_recall({.average = average}), many);
    check_metric(thaw::multi_label_f_beta({.beta = 2, .average = average}), many);
  }
  check_metric(thaw::multi_label_accuracy(), many);
  for (const Metric& metric : {thaw::mae(), thaw::rmse(), thaw::r2()}) check_metric(metric, values);
  check_metric(thaw::mean_metric("loss", thaw::cross_entropy), classes);
}

TEST_CASE("every loss is the same on the device, and so are its gradients; none waits for it") {
  check_loss("cross_entropy", thaw::cross_entropy, classes);
  check_loss("cross_entropy", thaw::cross_entropy, pixels);
  check_loss("label smoothing", thaw::CrossEntropy{.label_smoothing = 0.1, .ignore_index = 1}, classes);
  check_loss("class weights", thaw::CrossEntropy{.weight = logits({4}).abs()}, classes);
  check_loss("bce_with_logits", thaw::bce_with_logits, many);
  check_loss("positives' weights", thaw::BinaryCrossEntropy{.pos_weight = logits({3}).abs()}, many);
  check_loss("mse", thaw::mse, values);
  check_loss("dice", thaw::DiceCrossEntropy{.cross_entropy = {.weight = logits({4}).abs()}}, pixels);
}

TEST_CASE("thresholds per label are found from outputs on the device") {
  const at::Tensor p = many.output.sigmoid();
  CHECK(near(thaw::label_thresholds(p.to(test_device()), many.target.to(test_device())),
             thaw::label_thresholds(p, many.target)));
}
