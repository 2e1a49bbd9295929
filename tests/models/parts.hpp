// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "models/parity.hpp"

#include <ATen/ops/equal.h>
#include <thaw/core/forward_part.hpp>
#include <utility>

namespace thaw::test {

inline at::Tensor all_parameters(const torch::nn::Module& module) {
  std::vector<at::Tensor> all;
  for (const at::Tensor& parameter : module.parameters()) all.push_back(parameter.flatten());
  return at::cat(all);
}

/// In eval mode the parts, one after the other, give what forward gives of one tensor or of three, hold every parameter
/// once and, but for those of a head, leave what they get alone: a U-Net keeps it.
template <class Model>
void check_parts(Model net, const thaw::ForwardPart::Tensors& input, std::size_t parts, const std::string& last) {
  const at::NoGradGuard no_grad;
  net->eval();
  const auto all = thaw::forward_parts(net);
  CHECK(all.size() == parts);
  CHECK(all.back().name == last);
  thaw::ForwardPart::Tensors x = input;
  std::size_t parameters = 0;
  for (const thaw::ForwardPart& part : all) {
    CAPTURE(part.name);
    thaw::ForwardPart::Tensors copies;
    for (const at::Tensor& tensor : x) copies.push_back(tensor.clone());
    const thaw::ForwardPart::Tensors given = std::exchange(x, part.forward(x));
    if (!part.name.starts_with("head."))  // create_head's ReLU works in place
      for (std::size_t i = 0; i < given.size(); ++i) CHECK(at::equal(given[i], copies[i]));
    for (const auto& module : part.modules) parameters += module->parameters().size();
  }
  if constexpr (requires { net->forward(input[0], input[0], input[0]); })
    CHECK(at::equal(x[0], input.size() == 3 ? net->forward(input[0], input[1], input[2]) : net->forward(input[0])));
  else
    CHECK(at::equal(x[0], net->forward(input[0])));
  CHECK(parameters == net->parameters().size());
}

}  // namespace thaw::test
