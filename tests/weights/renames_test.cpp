// SPDX-License-Identifier: BSD-3-Clause
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/weights/detail/match.hpp>
#include <thaw/weights/module_state_dict.hpp>
#include <thaw/weights/renames.hpp>
#include <utility>
#include <vector>

#include "files.hpp"

using Pairs = std::vector<std::pair<std::string, std::string>>;
using Names = std::vector<std::string>;
namespace renames = thaw::renames;

namespace {

/// The names of one network by two publishers: see tests/reference/make_rename_fixtures.py.
Pairs pairs_of(const std::string& network) {
  return thaw::test::json_fixture("weights_renames.json").at(network).get<Pairs>();
}

Names first(const Pairs& pairs) {
  Names names;
  for (const auto& pair : pairs) names.push_back(pair.first);
  return names;
}

Names second(const Pairs& pairs) {
  Names names;
  for (const auto& pair : pairs) names.push_back(pair.second);
  return names;
}

Names renamed(const Names& names, const std::vector<thaw::Rename>& rules) {
  thaw::StateDict state;
  for (const std::string& name : names) state.insert(name, at::zeros({}));
  return thaw::detail::renamed(state, rules, "test").names();
}

}  // namespace

TEST_CASE("Vision transformers: timm's names become torchvision's, and the other way round") {
  const Pairs pairs = pairs_of("vit");
  REQUIRE(pairs.size() == 152);
  CHECK(renamed(first(pairs), renames::vit_from_timm()) == second(pairs));
  CHECK(renamed(second(pairs), renames::vit_to_timm()) == first(pairs));
  CHECK(
      renamed({"encoder.layers.encoder_layer_3.mlp.linear_1.bias", "encoder.layers.encoder_layer_3.mlp.linear_2.bias"},
              renames::vit_to_timm()) == Names{"blocks.3.mlp.fc1.bias", "blocks.3.mlp.fc2.bias"});
}

TEST_CASE("EfficientNet-lite0: timm's names become efficientnet_pytorch's, and the other way round") {
  const Pairs pairs = pairs_of("efficientnet_lite0");
  REQUIRE(pairs.size() == 296);
  CHECK(renamed(first(pairs), renames::efficientnet_from_timm()) == second(pairs));
  CHECK(renamed(second(pairs), renames::efficientnet_to_timm()) == first(pairs));
}

TEST_CASE("EfficientNet-lite1: thaw's names are those that timm's become") {
  const std::vector<std::int64_t> blocks = {1, 3, 3, 4, 4, 5, 1};
  const Names names = thaw::state_dict(*thaw::models::efficientnet_lite1()).names();
  const Names timm = renamed(names, renames::efficientnet_to_timm(blocks));
  CHECK(std::ranges::none_of(timm, [](const std::string& name) { return name.starts_with("_"); }));
  CHECK(std::ranges::count(timm, "blocks.5.4.conv_pwl.weight") == 1);
  CHECK(renamed(timm, renames::efficientnet_from_timm(blocks)) == names);
}

TEST_CASE("EfficientNets of other depths, and squeeze and excitation, are renamed too") {
  const Names timm = {"blocks.0.1.bn2.bias", "blocks.2.0.conv_pwl.weight", "blocks.2.0.se.conv_expand.bias"};
  const Names lukemelas = {"_blocks.1._bn2.bias", "_blocks.5._project_conv.weight", "_blocks.5._se_expand.bias"};
  CHECK(renamed(timm, renames::efficientnet_from_timm({2, 3, 3})) == lukemelas);
  CHECK(renamed(lukemelas, renames::efficientnet_to_timm({2, 3, 3})) == timm);
}
