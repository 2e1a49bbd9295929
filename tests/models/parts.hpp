#pragma once

#include "models/parity.hpp"

#include <ATen/ops/equal.h>
#include <thaw/core/forward_part.hpp>

namespace thaw::test {

inline at::Tensor all_parameters(const torch::nn::Module& module) {
  std::vector<at::Tensor> all;
  for (const at::Tensor& parameter : module.parameters()) all.push_back(parameter.flatten());
  return at::cat(all);
}

/// In eval mode the parts, one after the other, give what forward gives of one tensor or of three, leave the tensor
/// that they are given alone, and hold every parameter once.
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
    const at::Tensor given = x[0], copy = given.clone();
    x = part.forward(x);
    if (!part.name.starts_with("head.")) CHECK(at::equal(given, copy));  // create_head's ReLU works in place
    for (const auto& module : part.modules) parameters += module->parameters().size();
  }
  if constexpr (requires { net->forward(input[0], input[0], input[0]); })
    CHECK(at::equal(x[0], input.size() == 3 ? net->forward(input[0], input[1], input[2]) : net->forward(input[0])));
  else
    CHECK(at::equal(x[0], net->forward(input[0])));
  CHECK(parameters == net->parameters().size());
}

}  // namespace thaw::test
