// SPDX-License-Identifier: BSD-3-Clause
// What stands beside tensors in the files that people have is passed over: counted and named, never made.

#include <ATen/Functions.h>
#include <torch/nn/modules/linear.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>
#include <string>
#include <thaw/weights/load.hpp>
#include <thaw/weights/passed_over.hpp>
#include <thaw/weights/read_weights.hpp>
#include <vector>

#include "files.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::PassedOver;
using thaw::read_weights;
using thaw::test::complaint;
using thaw::test::weights;
using Names = std::vector<std::string>;

namespace {

std::map<std::string, std::string> by_path(const PassedOver& passed) {
  std::map<std::string, std::string> found;
  for (const auto& [path, what, whole] : passed.objects) found.emplace(path, what);
  return found;
}

/// A module with a parameter of two elements for each name.
torch::nn::Module module_of(const Names& names) {
  torch::nn::Module module;
  for (const std::string& name : names) module.register_parameter(name, at::zeros({2}));
  return module;
}

}  // namespace

TEST_CASE("Of more objects than are named the number is kept") {
  PassedOver all, more;
  for (int i = 0; i < 150; ++i) more.add({"x", "y.Z"});
  all.add({"args", "argparse.Namespace"});
  all.add(more);
  CHECK(all.count == 151);
  CHECK(all.objects.size() == PassedOver::most_named);
  CHECK(thaw::detail::passed_over_text(all, 2) == "args: argparse.Namespace, x: y.Z, ... (149 more)");
}

TEST_CASE("Tensors in any company are read, in every protocol and both formats; the company is named") {
  for (const std::string protocol : {"2", "3", "4", "5"}) {
    for (const std::string suffix : {".pth", ".legacy.pth"}) {
      const std::string name = "company" + protocol + suffix;
      INFO(name);
      const thaw::StateDict state = read_weights(weights(name));
      REQUIRE(state.names() == Names{"a", "b"});
      CHECK(state.at("a").equal(at::arange(6, at::kFloat).reshape({2, 3}) / 2));
      CHECK(state.at("b").equal(at::arange(3, at::kFloat) / 2 + 1));
      CHECK(state.unreadable().empty());
      const auto passed = by_path(state.passed_over());
      CHECK(passed.size() == state.passed_over().count);
      const std::vector<std::pair<std::string, std::string>> expected = {
          {"args", "argparse.Namespace"},
          {"attributes", "__main__.Attributes"},
          {"items", "__main__.Items"},
          {"unique", "__main__.Unique"},
          {"slots", "__main__.Slots"},
          {"keywords", protocol < "4" ? "functools.partial" : "__main__.Keywords"},
          {"inner", "__main__.Outer.Inner"},
          {"point", "__main__.Point"},
          {"nested.0.deep.0", "__main__.Colour"},
          {"best", "numpy._core.multiarray.scalar"},
          {"array", protocol < "5" ? "numpy._core.multiarray._reconstruct" : "numpy._core.numeric._frombuffer"},
          {"colour", "__main__.Colour"},
          {"when", "datetime.datetime"},
          {"partial", "functools.partial"},
          {"counter", "collections.Counter"},
          {"price", "decimal.Decimal"},
          {"device", "torch.device"},
          {"dtype", "torch.float16"},
          {"size", "torch.Size"}};
      for (const auto& [path, what] : expected) {
        INFO(path);
        CHECK(passed.contains(path));
        if (passed.contains(path)) CHECK(passed.at(path) == what);
      }
      CHECK(passed.at("path").ends_with("PurePosixPath"));
      CHECK(passed.at("range").ends_with("range"));  // Python 2's name in protocol 2: __builtin__.xrange
      CHECK_FALSE(passed.contains("state_dict"));
      CHECK_FALSE(passed.contains("default"));  // a dict
      CHECK_FALSE(passed.contains("epoch"));
      CHECK_FALSE(passed.contains("args.hidden"));  // within an object nothing is looked at
    }
  }
}

TEST_CASE("Asked for by its key, an object that was passed over is an error that says what it was") {
  const auto ask = [](const std::string& key) {
    return complaint([&] { (void)read_weights(weights("company2.pth"), {.key = key}); });
  };
  CHECK_THAT(ask("args"), ContainsSubstring("holds no dict of tensors under the key 'args': there is "
                                            "'argparse.Namespace', which was passed over; nothing was run"));
  CHECK_THAT(ask("args"), ContainsSubstring("fix: give one of its keys: state_dict"));
  CHECK_THAT(ask("nested.0.deep.0"), ContainsSubstring("there is '__main__.Colour'"));
  CHECK_THAT(ask("nested"), ContainsSubstring("there is a list"));
  CHECK_THAT(ask("point"), ContainsSubstring("there is '__main__.Point'"));
  CHECK_THAT(ask("epoch"), ContainsSubstring("there is a number"));
  CHECK_THAT(ask("bytes"), ContainsSubstring("there is"));
  CHECK_THAT(ask("default"), ContainsSubstring("there is a dict without tensors"));
  CHECK_THAT(ask("state_dict.a"), ContainsSubstring("there is a tensor"));
  CHECK_THAT(ask("args.hidden"), ContainsSubstring("holds no dict of tensors under the key 'args.hidden'\n"));
  CHECK(read_weights(weights("company2.pth"), {.key = "state_dict"}).size() == 2);
}

TEST_CASE("A tensor inside an object of another class is not read") {
  const std::string message = complaint([] { (void)read_weights(weights("company4.pth"), {.key = "args.hidden"}); });
  CHECK_THAT(message, ContainsSubstring("under the key 'args.hidden'"));
  for (const auto& name : {"namespace.pth", "namespace.legacy.pth", "numpy_scalar.pth"}) {
    INFO(name);
    const thaw::StateDict state = read_weights(weights(name));
    CHECK(state.names() == Names{"a"});
    CHECK(state.passed_over().count == 1);
  }
}

TEST_CASE("The report of a load names what was passed over") {
  auto module = module_of({"a"});
  const auto report = thaw::load_weights(module, weights("namespace.pth"));
  CHECK(report.passed_over.count == 1);
  CHECK(report.to_string() == "tensors loaded: 1\n  passed over: 1 (args: argparse.Namespace)");
}

TEST_CASE("Sparse, quantised and meta tensors are named; the others load where they are dropped, or partially") {
  const auto state = read_weights(weights("beside.pth"));
  CHECK(state.names() == Names{"a", "x"});
  CHECK(state.unreadable() == std::map<std::string, std::string>{{"m", "torch._utils._rebuild_meta_tensor_no_storage"},
                                                                 {"q", "torch._utils._rebuild_qtensor"},
                                                                 {"s", "torch._utils._rebuild_sparse_tensor"}});
  CHECK(state.passed_over().count == 3);
  CHECK(read_weights(weights("beside.legacy.pth")).names() == Names{"a"});

  auto module = module_of({"a", "q"});
  module.register_parameter("x", at::zeros({1}));
  const std::string message = complaint([&] { thaw::load_weights(module, weights("beside.pth")); });
  CHECK_THAT(message,
             ContainsSubstring("missing 1, unexpected 2, of another shape 0, fitting 2; 3 of the file are of a "
                               "kind that is not read (torch._utils._rebuild_meta_tensor_no_storage)"));
  CHECK_THAT(message,
             ContainsSubstring("missing in the file: q [2] (there it is made by torch._utils._rebuild_qtensor, "
                               "which is not read; save it dense in Python: .to_dense(), .dequantize(), "
                               ".full_tensor())"));
  CHECK_THAT(message, ContainsSubstring("unexpected in the file: s (made by torch._utils._rebuild_sparse_tensor"));

  const auto dropped = thaw::load_weights(module, weights("beside.pth"), {.drop = {"q", "s", "m"}});
  CHECK(dropped.loaded == Names{"a", "x"});
  CHECK(dropped.dropped == Names{"q", "m", "s"});
  CHECK(module.named_parameters()["a"][1].item<float>() == 0.5F);
  const auto partial = thaw::load_weights(module, weights("beside.pth"), {.partial = true});
  CHECK(partial.loaded == Names{"a", "x"});
  CHECK(partial.missing == Names{"q"});
  CHECK(partial.unexpected == Names{"m", "s"});
}

TEST_CASE("Whole modules are refused, and said to be whole modules") {
  for (const auto& name : {"whole.pth", "whole.legacy.pth"}) {
    INFO(name);
    const std::string message = complaint([&, file = std::string(name)] { (void)read_weights(weights(file)); });
    CHECK_THAT(message,
               ContainsSubstring("holds a whole pickled module, '__main__.Net', not a dict of tensors; nothing "
                                 "was run"));
    CHECK_THAT(message, ContainsSubstring("torch.save(model.state_dict(), path)"));
  }
  const std::string under_key = complaint([] { (void)read_weights(weights("whole_under_key.pth")); });
  CHECK_THAT(under_key, ContainsSubstring("holds under the key 'model' a whole pickled module, '__main__.Net'"));
  CHECK_THAT(under_key, ContainsSubstring(".key = \"optimizer\""));
  CHECK(read_weights(weights("whole_under_key.pth"), {.key = "optimizer"}).names() == Names{"momentum"});
  CHECK_THAT(complaint([] { (void)read_weights(weights("whole_under_key.pth"), {.key = "model"}); }),
             ContainsSubstring("there is a whole pickled module, '__main__.Net', which was passed over"));
}
