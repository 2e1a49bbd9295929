// SPDX-License-Identifier: BSD-3-Clause
#include <sys/resource.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <thaw/weights/load.hpp>
#include <thaw/weights/save.hpp>
#include <vector>

#include "files.hpp"
#include "samples.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::save_weights;
using thaw::test::complaint;
using Names = std::vector<std::string>;

namespace {

struct SavedNetImpl : torch::nn::Module {
  torch::nn::Linear fc = register_module("fc", torch::nn::Linear(2, 3));
  torch::nn::Sequential body = register_module("body", torch::nn::Sequential(torch::nn::Conv2d(1, 2, 3)));
  torch::nn::BatchNorm2d bn = register_module("bn", torch::nn::BatchNorm2d(2));
  at::Tensor scale = register_parameter("scale", at::ones({1}));
};
TORCH_MODULE(SavedNet);

thaw::StateDict of(const std::string& name, const at::Tensor& tensor) {
  thaw::StateDict state;
  state.insert(name, tensor);
  return state;
}

}  // namespace

TEST_CASE("What is saved is read again, bit by bit") {
  const thaw::test::Folder folder;
  for (const std::string name : {"all.safetensors", "all.pth", "all.pt", "all.bin"}) {
    INFO(name);
    const auto state = thaw::test::sample_state(name.ends_with("safetensors"));
    save_weights(state, folder / name);
    const auto back = thaw::read_weights(folder / name);
    CHECK(thaw::test::differences(state, back) == Names{});
    for (const auto& [each, tensor] : back) CHECK_FALSE(tensor.requires_grad());
  }
}

TEST_CASE("A .pth keeps order, strides and ties") {
  const thaw::test::Folder folder;
  const auto state = thaw::test::sample_state(false);
  save_weights(state, folder / "all.pth");
  const auto back = thaw::read_weights(folder / "all.pth");
  CHECK(back.names() == state.names());
  for (const auto& [name, tensor] : state) CHECK(back.at(name).strides() == tensor.strides());
  CHECK(back.at("tied.base").is_alias_of(back.at("tied.transposed")));
  CHECK(back.at("tied.base").is_alias_of(back.at("tied.slice")));
  CHECK_FALSE(back.at("tied.base").is_alias_of(back.at("expanded")));
}

TEST_CASE("Of a large storage only what is used is written") {
  const thaw::test::Folder folder;
  const at::Tensor large = at::arange(1'000'000, at::kFloat);
  thaw::StateDict state = of("a", large.slice(0, 500'000, 500'010));
  state.insert("b", large.slice(0, 500'005, 500'020));
  for (const std::string name : {"part.pth", "part.safetensors"}) {
    save_weights(state, folder / name);
    CHECK(std::filesystem::file_size(folder / name) < 5'000);
    CHECK(thaw::test::differences(state, thaw::read_weights(folder / name)) == Names{});
  }
  const auto back = thaw::read_weights(folder / "part.pth");
  CHECK(back.at("a").is_alias_of(back.at("b")));
}

TEST_CASE("One storage under two types is written as two") {
  const thaw::test::Folder folder;
  const at::Tensor bits = at::arange(4, at::kInt);
  thaw::StateDict state = of("integers", bits);
  state.insert("bytes", bits.view(at::kByte).slice(0, 3, 9));
  save_weights(state, folder / "two.pth");
  CHECK(thaw::test::differences(state, thaw::read_weights(folder / "two.pth")) == Names{});
}

TEST_CASE("Conjugate and negative views are written as their values") {
  const thaw::test::Folder folder;
  const at::Tensor z = at::view_as_complex(at::arange(6, at::kFloat).reshape({3, 2}));
  for (const std::string name : {"conj.pth", "conj.safetensors"}) {
    save_weights(of("z", z.conj()), folder / name);
    CHECK(thaw::read_weights(folder / name).at("z").equal(z.conj().resolve_conj()));
    save_weights(of("z", at::imag(z.conj())), folder / name);
    CHECK(thaw::read_weights(folder / name).at("z").equal(at::imag(z.conj()).resolve_neg()));
  }
}

TEST_CASE("A module is saved in the order of Python's state_dict, as reference, holder or shared pointer") {
  const thaw::test::Folder folder;
  SavedNet net;
  const Names expected = {"scale",     "fc.weight", "fc.bias",         "body.0.weight",  "body.0.bias",
                          "bn.weight", "bn.bias",   "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"};
  CHECK(thaw::state_dict(*net).names() == expected);
  save_weights(*net, folder / "net.pth");
  CHECK(thaw::read_weights(folder / "net.pth").names() == expected);
  save_weights(net, folder / "net.safetensors");
  save_weights(net.ptr(), folder / "base.pth");
  save_weights(std::shared_ptr<torch::nn::Module>(net.ptr()), folder / "base.pth");
  for (const std::string name : {"net.pth", "net.safetensors", "base.pth"}) {
    SavedNet other;
    CHECK(thaw::load_weights(other, folder / name).loaded.size() == expected.size());
    CHECK(thaw::test::differences(thaw::state_dict(*net), thaw::state_dict(*other)) == Names{});
  }
  CHECK_THROWS_AS(save_weights(SavedNet(nullptr), folder / "null.pth"), thaw::ConfigError);
}

TEST_CASE("Metadata comes back") {
  const thaw::test::Folder folder;
  const std::map<std::string, std::string> metadata = {{"epoch", "12"}, {"note", "\"caf\xc3\xa9\"\n"}};
  save_weights(of("a", at::zeros({2})), folder / "a.safetensors", {.metadata = metadata});
  auto read = thaw::read_metadata(folder / "a.safetensors");
  CHECK(read.extract("format").mapped() == "pt");
  CHECK(read == metadata);
  CHECK_THAT(complaint<thaw::ConfigError>(
                 [&] { save_weights(of("a", at::zeros({2})), folder / "a.pth", {.metadata = metadata}); }),
             ContainsSubstring(".metadata is set"));
}

TEST_CASE("Metadata that is no UTF-8 is an error, and leaves no file") {
  const thaw::test::Folder folder;
  for (const auto& [key, value] : {std::pair("note", "\xff"), std::pair("\xff", "note")})
    CHECK_THAT(complaint<thaw::ConfigError>([&, key = key, value = value] {
                 save_weights(of("a", at::zeros({2})), folder / "a.safetensors", {.metadata = {{key, value}}});
               }),
               ContainsSubstring("a.safetensors: the metadata is no UTF-8") && ContainsSubstring("in base64"));
  CHECK(folder.files() == 0);
}

TEST_CASE("Safetensors' tensors are aligned, whatever their types") {
  const thaw::test::Folder folder;
  save_weights(thaw::test::sample_state(true), folder / "all.safetensors");
  for (const auto& [name, tensor] : thaw::read_weights(folder / "all.safetensors")) {
    INFO(name);
    CHECK(reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()) % c10::elementSize(tensor.scalar_type()) % 8 == 0);
  }
}

TEST_CASE("What cannot be saved is an error that names it, and leaves no file") {
  const thaw::test::Folder folder;
  const auto failure = [&](const thaw::StateDict& state, const std::string& name) {
    return complaint<thaw::ConfigError>([&] { save_weights(state, folder / name); });
  };
  for (const std::string name : {"x.pth", "x.safetensors"}) {
    INFO(name);
    CHECK_THAT(failure(of("w", at::Tensor()), name), ContainsSubstring("'w' is undefined"));
    CHECK_THAT(failure(of("w", at::empty({2}, at::kMeta)), name), ContainsSubstring("'w' is on the meta device"));
    CHECK_THAT(failure(of("w", at::eye(2).to_sparse()), name), ContainsSubstring("'w' is sparse, quantized"));
    CHECK_THAT(failure(of("w", at::quantize_per_tensor(at::zeros({2}), 1, 0, at::kQInt8)), name),
               ContainsSubstring("'w' is sparse, quantized"));
    CHECK_THAT(failure(of("w\xff", at::zeros({2})), name), ContainsSubstring("no UTF-8"));
    CHECK_THAT(failure(of(std::string(2000, 'w'), at::zeros({2})), name), ContainsSubstring("too long"));
  }
  CHECK_THAT(failure(of("w", at::zeros({2}, at::kComplexDouble)), "x.safetensors"),
             ContainsSubstring("'w' is of type ComplexDouble"));
  CHECK_THAT(
      failure(of("w", at::empty({2}, at::ScalarType::Bits8)), "x.pth"),
      ContainsSubstring("'w' is of type Bits8") && ContainsSubstring("convert it to a floating-point or integer type"));
  CHECK_THAT(failure(of("__metadata__", at::zeros({2})), "x.safetensors"), ContainsSubstring("__metadata__"));
  CHECK_THAT(failure(of("w", at::zeros({2})), "x.onnx"), ContainsSubstring("in which format"));
  CHECK(folder.files() == 0);
}

TEST_CASE("A file that cannot be written is an error, and the old one is still there") {
  const thaw::test::Folder folder;
  const auto write = [&](const std::filesystem::path& path, const at::Tensor& tensor) {
    return complaint([&] { save_weights(of("w", tensor), path); });
  };
  CHECK_THAT(write(folder / "no/such/folder.pth", at::zeros({2})), ContainsSubstring("cannot be created"));

  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  for (const std::string name : {"net.pth", "net.safetensors"}) {
    INFO(name);
    REQUIRE(write(folder / name, at::ones({2})).empty());
    const rlimit small{100'000, old_limit.rlim_max};  // as on a disk that is full then
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const std::string message = write(folder / name, at::zeros({1'000'000}));
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &old_limit) == 0);
    CHECK_THAT(message, ContainsSubstring("cannot be written: File too large"));
    CHECK(thaw::read_weights(folder / name).at("w").equal(at::ones({2})));
  }
  std::signal(SIGXFSZ, old_handler);
  CHECK(folder.files() == 2);
}

TEST_CASE("A file may be replaced while its tensors live") {
  const thaw::test::Folder folder;
  for (const std::string name : {"net.pth", "net.safetensors"}) {
    save_weights(of("w", at::ones({5'000})), folder / name);
    const auto state = thaw::read_weights(folder / name);
    thaw::StateDict scaled;
    for (const auto& [each, tensor] : state) scaled.insert(each, tensor * 2);
    save_weights(scaled, folder / name);
    CHECK(state.at("w").equal(at::ones({5'000})));
    CHECK(thaw::read_weights(folder / name).at("w").equal(at::full({5'000}, 2.0)));
  }
}
