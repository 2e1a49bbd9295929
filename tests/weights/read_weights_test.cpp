// SPDX-License-Identifier: BSD-3-Clause
#include <sys/resource.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/serialize.h>
#include <unistd.h>

#include <ATen/Functions.h>
#include <caffe2/serialize/inline_container.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thaw/weights/module_state_dict.hpp>
#include <thaw/weights/read_weights.hpp>
#include <thaw/weights/save.hpp>
#include <vector>

#include "files.hpp"
#include "samples.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::read_weights;
using thaw::test::complaint;
using thaw::test::weights;

namespace {

const nlohmann::json& expected() {
  static const nlohmann::json json = thaw::test::json_fixture("weights/expected.json");
  return json;
}

/// As "torch.float32".
std::string dtype_name(const at::Tensor& tensor) {
  static const std::vector<std::pair<at::ScalarType, std::string>> names = {{at::kChar, "int8"},
                                                                            {at::kShort, "int16"},
                                                                            {at::kInt, "int32"},
                                                                            {at::kLong, "int64"},
                                                                            {at::kByte, "uint8"},
                                                                            {at::kUInt16, "uint16"},
                                                                            {at::kUInt32, "uint32"},
                                                                            {at::kUInt64, "uint64"},
                                                                            {at::kHalf, "float16"},
                                                                            {at::kBFloat16, "bfloat16"},
                                                                            {at::kFloat, "float32"},
                                                                            {at::kDouble, "float64"},
                                                                            {at::kBool, "bool"},
                                                                            {at::kComplexFloat, "complex64"},
                                                                            {at::kComplexDouble, "complex128"},
                                                                            {at::kFloat8_e4m3fn, "float8_e4m3fn"},
                                                                            {at::kFloat8_e4m3fnuz, "float8_e4m3fnuz"},
                                                                            {at::kFloat8_e5m2, "float8_e5m2"},
                                                                            {at::kFloat8_e5m2fnuz, "float8_e5m2fnuz"}};
  for (const auto& [type, name] : names) {
    if (type == tensor.scalar_type()) return "torch." + name;
  }
  return "?";
}

std::vector<double> values(const at::Tensor& tensor) {
  const at::Tensor real = tensor.is_complex() ? at::view_as_real(tensor) : tensor;
  const at::Tensor flat = real.to(at::kDouble).contiguous().flatten();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

std::vector<double> values(const nlohmann::json& list) {
  std::vector<double> all;
  for (const auto& value : list)
    all.push_back(value.is_string() ? std::stod(value.get<std::string>()) : value.get<double>());
  return all;
}

bool ends_with_pth(const std::string& name) {
  return name.ends_with(".pth");
}

}  // namespace

TEST_CASE("Files hold what Python says they hold") {
  for (const auto& [name, tensors] : expected().items()) {
    INFO(name);
    const thaw::StateDict state = read_weights(weights(name));
    REQUIRE(state.size() == tensors.size());
    std::size_t place = 0;
    for (const auto& tensor : tensors) {
      const std::string tensor_name = tensor["name"];
      INFO(tensor_name);
      if (ends_with_pth(name)) CHECK(state.names()[place] == tensor_name);
      ++place;
      REQUIRE(state.contains(tensor_name));
      const at::Tensor& found = state.at(tensor_name);
      CHECK(dtype_name(found) == tensor["dtype"].get<std::string>());
      CHECK(found.sizes().vec() == tensor["shape"].get<std::vector<std::int64_t>>());
      CHECK(values(found) == values(tensor["values"]));
      CHECK_FALSE(found.requires_grad());
    }
  }
}

TEST_CASE("trap 6: OrderedDicts and the format before 1.6 are read, where LibTorch's own pickle_load throws") {
  for (const std::string name : {"dtypes.pth", "dtypes.legacy.pth", "module_prefix.legacy.pth"}) {
    INFO(name);
    std::ifstream file(weights(name), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    REQUIRE_FALSE(bytes.empty());
    CHECK_THROWS_AS(torch::pickle_load(bytes), c10::Error);
    CHECK(read_weights(weights(name)).size() == expected()[name].size());
  }
}

TEST_CASE("Tensors that share a storage still do") {
  for (const std::string name : {"views.pth", "views.legacy.pth"}) {
    INFO(name);
    const auto state = read_weights(weights(name));
    CHECK(state.at("base").is_alias_of(state.at("transposed")));
    CHECK(state.at("base").is_alias_of(state.at("row")));
    CHECK_FALSE(state.at("base").is_alias_of(state.at("expanded")));
    CHECK(state.at("transposed").strides() == at::IntArrayRef({1, 6}));
    CHECK(state.at("slice").storage_offset() == 8);
    state.at("base").fill_(7);
    CHECK(state.at("every_other").eq(7).all().item<bool>());
  }
}

TEST_CASE("A large file is opened without being read, and its tensors lie in it") {
  const thaw::test::Folder folder;
  const auto path = folder / "large.safetensors";
  constexpr std::uint64_t size = std::uint64_t{2} << 30;
  const std::string half = std::to_string(size / 2), whole = std::to_string(size);
  std::string header = R"({"a":{"dtype":"F32","shape":[268435456],"data_offsets":[0,)" + half +
                       R"(]},"b":{"dtype":"F32","shape":[268435456],"data_offsets":[)" + half + "," + whole + "]}}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = header.size();
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(&length), sizeof length) << header;
  std::filesystem::resize_file(path, sizeof length + header.size() + size);  // a hole: it takes no room

  const auto resident = [] {
    std::ifstream file("/proc/self/statm");
    std::int64_t pages = 0, in_memory = 0;
    file >> pages >> in_memory;
    return in_memory * ::sysconf(_SC_PAGESIZE);
  };
  const std::int64_t before = resident();
  const auto state = read_weights(path);
  const auto* a = static_cast<const char*>(state.at("a").const_data_ptr());
  CHECK(static_cast<const char*>(state.at("b").const_data_ptr()) - a == size / 2);
  CHECK(state.at("b")[12345].item<float>() == 0);
  CHECK(resident() - before < std::int64_t{100} << 20);
}

TEST_CASE("Without the map, memory that is not there is an error that names the file, not LibTorch's own") {
#ifdef THAW_ADDRESS_SANITIZER
  SKIP("AddressSanitizer ends a program that asks for too much memory");
#endif
  const thaw::test::Folder folder;
  const auto path = folder / "large.safetensors";
  constexpr std::uint64_t size = std::uint64_t{4} << 30;
  std::string header = R"({"a":{"dtype":"U8","shape":[4294967296],"data_offsets":[0,4294967296]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = header.size();
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(&length), sizeof length) << header;
  std::filesystem::resize_file(path, sizeof length + header.size() + size);  // a hole: it takes no room

  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit old_limit{};
  REQUIRE(::getrlimit(RLIMIT_AS, &old_limit) == 0);
  const auto in_use = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const rlimit once{in_use + size + size / 2, old_limit.rlim_max};  // room for the map, not for a copy beside it
  REQUIRE(::setrlimit(RLIMIT_AS, &once) == 0);
  const std::string mapped = complaint([&] { (void)read_weights(path); });
  std::string copied;
  try {
    (void)read_weights(path, {.map = false});
  } catch (const thaw::MemoryError& error) {
    copied = error.what();
  }
  REQUIRE(::setrlimit(RLIMIT_AS, &old_limit) == 0);
  CHECK(mapped.empty());
  CHECK_THAT(copied, ContainsSubstring("large.safetensors: does not fit into memory: ") &&
                         ContainsSubstring("4294967296 bytes") && ContainsSubstring("leave ReadOptions::map on"));
}

TEST_CASE("Writing to a tensor leaves its file as it is; without the map, the file may even change") {
  const thaw::test::Folder folder;
  for (const std::string name : {"net.pth", "net.safetensors"}) {
    INFO(name);
    std::filesystem::copy_file(weights(name), folder / name);
    const std::string before = thaw::test::bytes_of(folder / name);
    const auto mapped = read_weights(folder / name), copied = read_weights(folder / name, {.map = false});
    mapped.at("fc.weight").fill_(7);
    CHECK(mapped.at("fc.weight").eq(7).all().item<bool>());
    CHECK(thaw::test::bytes_of(folder / name) == before);
    const at::Tensor first = copied.at("fc.weight").clone();
    const std::string other(before.size(), '\x7f');
    std::fstream(folder / name, std::ios::binary | std::ios::in | std::ios::out) << other;
    CHECK(copied.at("fc.weight").equal(first));
  }
}

TEST_CASE("Tensors outlive the state dict and the name of their file") {
  at::Tensor weight;
  {
    const thaw::test::Folder folder;
    std::filesystem::copy_file(weights("net.safetensors"), folder / "net.safetensors");
    weight = read_weights(folder / "net.safetensors").at("fc.weight");
  }
  CHECK(weight.equal(read_weights(weights("net.pth")).at("fc.weight")));
}

TEST_CASE("A TorchScript archive holds the tensors of its state dict") {
  const auto state = read_weights(weights("torchscript.pt"));
  CHECK(state.names() == std::vector<std::string>{"weight", "bias"});
  CHECK(state.at("weight").sizes() == at::IntArrayRef({1, 2}));
  CHECK_THAT(complaint([] { (void)read_weights(weights("torchscript.pt"), {.key = "ema"}); }),
             ContainsSubstring("nothing under the key 'ema'"));
  CHECK_THAT(complaint([] { (void)read_weights(weights("net.safetensors"), {.key = "ema"}); }),
             ContainsSubstring("is a safetensors file, which has nothing under the key 'ema'"));
  CHECK_FALSE(read_weights(weights("net.safetensors"), {.key = "."}).empty());
}

TEST_CASE("What LibTorch's torch::save writes is read by the names of the module") {
  const thaw::test::Folder folder;
  const auto net = std::make_shared<torch::nn::Module>();
  net->register_module("body", torch::nn::Sequential(torch::nn::Conv2d(1, 2, 3), torch::nn::BatchNorm2d(2)));
  net->register_module("head", torch::nn::Linear(2, 3));
  torch::save(net, (folder / "net.pt").string());
  CHECK(thaw::test::differences(thaw::state_dict(*net), read_weights(folder / "net.pt")) == std::vector<std::string>{});
}

TEST_CASE("An index brings all its shards, of either format") {
  const thaw::test::Folder folder;
  const auto whole = read_weights(weights("net.pth"));
  for (const std::string extension : {".safetensors", ".bin"}) {
    INFO(extension);
    thaw::StateDict first, second;
    nlohmann::json map;
    for (const auto& [name, tensor] : whole) {
      const bool is_first = first.size() < 3;
      (is_first ? first : second).insert("module." + name, tensor);
      map["module." + name] = (is_first ? "model-1" : "model-2") + extension;
    }
    thaw::save_weights(first, folder / ("model-1" + extension));
    thaw::save_weights(second, folder / ("model-2" + extension));
    const auto index = folder / ("model" + extension + ".index.json");
    std::ofstream(index) << nlohmann::json{{"metadata", {{"total_size", 1}}}, {"weight_map", map}};
    CHECK(thaw::test::differences(whole, read_weights(index)) == std::vector<std::string>{});

    map["module.lost"] = "model-2" + extension;
    std::ofstream(index) << nlohmann::json{{"weight_map", map}};
    CHECK_THAT(complaint([&] { (void)read_weights(index); }), ContainsSubstring("it lacks 'module.lost'"));
    map["module.lost"] = "model-3" + extension;
    std::ofstream(index) << nlohmann::json{{"weight_map", map}};
    CHECK_THAT(complaint([&] { (void)read_weights(index); }),
               ContainsSubstring("model-3") && ContainsSubstring("does not exist"));
    map["module.lost"] = "model-1" + extension;
    std::filesystem::copy_file(folder / ("model-1" + extension), folder / ("model-3" + extension));
    map["module.conv.weight"] = "model-3" + extension;
    map.erase("module.lost");
    std::ofstream(index) << nlohmann::json{{"weight_map", map}};
    CHECK_THAT(complaint([&] { (void)read_weights(index); }), ContainsSubstring("is in another shard too"));
  }
}

TEST_CASE("The key says which of several dicts is meant") {
  CHECK(read_weights(weights("two_dicts.pth"), {.key = "encoder"}).names() == std::vector<std::string>{"a"});
  CHECK(read_weights(weights("two_dicts.pth"), {.key = "decoder"}).names() == std::vector<std::string>{"b"});
  CHECK(read_weights(weights("model_and_ema.pth")).at("a")[1].item<float>() == 0.5F);
  CHECK(read_weights(weights("model_and_ema.pth"), {.key = "ema.shadow"}).at("a")[1].item<float>() == 1.5F);
  CHECK(read_weights(weights("nested_model.pth"), {.key = "."}).names() == std::vector<std::string>{"loss"});
  CHECK(read_weights(weights("plain_dict.pth"), {.key = "."}).size() == 2);
}

TEST_CASE("Numbers are names, and places in a list or tuple at the top are keys") {
  CHECK(read_weights(weights("numbers.pth")).names() == std::vector<std::string>{"0", "1"});
  CHECK(read_weights(weights("tuple.pth")).names() == std::vector<std::string>{"a"});
  CHECK(read_weights(weights("list_of_dicts.pth"), {.key = "1"}).names() == std::vector<std::string>{"b"});
  CHECK_THAT(complaint([] { (void)read_weights(weights("list_of_dicts.pth")); }),
             ContainsSubstring("holds 2 dicts of tensors: 0, 1"));
}

TEST_CASE("A dict that is there twice is had under each of its keys, and is one without a key") {
  CHECK(read_weights(weights("same_twice.pth")).size() == 1);
  for (const auto& key : {"model", "ema", "inner.teacher"}) {
    CHECK(read_weights(weights("same_twice.pth"), {.key = key}).names() == std::vector<std::string>{"a"});
  }
}

TEST_CASE("An averaged model is read by the names of the model") {
  const auto names = read_weights(weights("net.pth")).names();
  for (const auto& state :
       {read_weights(weights("averaged.pth")), read_weights(weights("model_ema.pth"), {.key = "model_ema"})}) {
    CHECK(state.names() == names);
    REQUIRE(state.passed_over().count == 1);
    CHECK(state.passed_over().objects[0].path == "n_averaged");
  }
  CHECK(read_weights(weights("model_ema.pth")).names() == names);
  CHECK(read_weights(weights("model_ema.pth")).passed_over().count == 0);
  thaw::StateDict count;  // which is all that there is
  count.insert("n_averaged", at::zeros({}, at::kLong));
  CHECK(thaw::detail::without_module_prefix(count).size() == 1);
}

TEST_CASE("What torch::pickle_save writes of a Dict is read") {
  const thaw::test::Folder folder;
  c10::Dict<std::string, at::Tensor> dict;
  dict.insert("fc.weight", at::arange(6, at::kFloat).reshape({2, 3}));
  dict.insert("fc.bias", at::ones({2}));
  c10::impl::GenericDict outer(c10::StringType::get(), c10::AnyType::get());
  outer.insert("net", dict);
  outer.insert("epoch", std::int64_t{3});
  for (const auto& value : {c10::IValue(dict), c10::IValue(outer)}) {
    const std::vector<char> bytes = torch::pickle_save(value);
    std::ofstream(folder / "dict.pt", std::ios::binary).write(bytes.data(), std::ssize(bytes));
    const auto state = read_weights(folder / "dict.pt");
    CHECK(state.size() == 2);
    CHECK(state.at("fc.weight")[1][2].item<float>() == 5);
  }
}

TEST_CASE("What tch-rs writes has dots again in its names") {
  const thaw::test::Folder folder;
  torch::serialize::OutputArchive archive;  // as its at_save_multi does
  archive.write("body|conv1|weight", at::ones({2}));
  archive.write("head|bias", at::zeros({1}));
  archive.save_to((folder / "net.ot").string());
  CHECK(read_weights(folder / "net.ot").names() == std::vector<std::string>{"body.conv1.weight", "head.bias"});
}

TEST_CASE("Without a key, several dicts are an error that lists them") {
  const auto two = complaint([] { (void)read_weights(weights("two_dicts.pth")); });
  CHECK_THAT(two, ContainsSubstring("holds 2 dicts of tensors: encoder, decoder"));
  CHECK_THAT(two, ContainsSubstring(".key = \"encoder\""));
  CHECK_THAT(complaint([] { (void)read_weights(weights("model_and_net.pth")); }), ContainsSubstring("model, net"));
  const auto wrong = complaint([] { (void)read_weights(weights("two_dicts.pth"), {.key = "ema"}); });
  CHECK_THAT(wrong, ContainsSubstring("under the key 'ema'"));
  CHECK_THAT(wrong, ContainsSubstring("encoder, decoder"));
}

TEST_CASE("Files that are no state dict say what they are") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"big_endian.pth", "big-endian"},
      {"big_endian.legacy.pth", "big-endian"},
      {"ancient.pth", "is a tar archive; PyTorch before 0.1.10"},
      {"numpy.npz", "is a zip archive, but torch.save did not write it"},
      {"compressed.pth", "compressed, which torch.save never does"},
      {"plain.pkl", "is a Python pickle, but torch.save did not write it"},
      {"list.pth", "holds no dict of named tensors"},
      {"quantized.pth", "'torch._utils._rebuild_qtensor'"},
      {"sparse.pth", "'torch._utils._rebuild_sparse_tensor'"},
      {"one_tensor.pth", "holds one tensor without a name"},
      {"tuple_name.pth", "has a tensor under a key that is no name, but a tuple"},
      {"frozen.pt", "is a TorchScript program without parameters or buffers: torch.jit.freeze makes constants"},
      {"expected.json", "is a text: \"{"}};
  for (const auto& [name, text] : cases) {
    INFO(name);
    const std::string message = complaint([&, &file = name] { (void)read_weights(weights(file)); });
    CHECK_THAT(message, ContainsSubstring(text));
    CHECK_THAT(message, ContainsSubstring(name + ": "));
  }
}

TEST_CASE("Contents that are no weights say what they look like") {
  const std::string tail(300, ' ');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "is empty"},
      {"\n <!DOCTYPE html><html>404</html>", "is an HTML page"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a git-lfs pointer"},
      {"\x89HDF\r\n", "is an HDF5"},
      {"\x1f\x8b\x08", "gzip"},
      {"GGUF\x03", "GGUF"},
      {"BZh91AY&SY", "is compressed with bzip2"},
      {"\xfd"
       "7zXZ",
       "is compressed with xz"},
      {"\x28\xb5\x2f\xfd", "is compressed with Zstandard"},
      {"\x04\x22\x4d\x18", "is compressed with LZ4"},
      {"7z\xbc\xaf\x27\x1c", "is a 7z archive"},
      {"Rar!\x1a", "is a rar archive"},
      {"\x93NUMPY\x01", "is one NumPy array (.npy)"},
      {"MATLAB 5.0 MAT-file, Platform", "is a MATLAB file"},
      {std::string("\x1c\0\0\0TFL3", 8) + tail, "is a TensorFlow Lite file"},
      {std::string("\x08\x01\x12\x80\x9d", 5) + tail, "is a TensorFlow SavedModel"},
      {"\x08\x08\x12\x07pytorch\x1a\x05" + tail, "is an ONNX file"},
      {"NeMo" + std::string(253, '\0') + "ustar\0" + tail, "is a tar archive\n"},
      {"Not found\nreally", "is a text: \"Not found\""},
      {std::string("\x01\x02\x03", 3) + tail, "is no file of weights"}};
  for (const auto& [content, text] : cases) {
    CHECK_THAT(complaint([&, &bytes = content] { (void)thaw::test::parse(bytes); }), ContainsSubstring(text));
  }
}

TEST_CASE("Archives and folders of others say what they are, and what to do") {
  const thaw::test::Folder folder;
  const auto archive = [&](const std::string& record) {
    const std::string path = (folder / "other.zip").string();
    caffe2::serialize::PyTorchStreamWriter writer(path);
    writer.writeRecord(record, "1", 1);
    writer.writeEndOfFile();
    return complaint([&] { (void)read_weights(path); });
  };
  const std::string other = "is a zip archive, but torch.save did not write it";
  CHECK_THAT(archive("archive_format"), ContainsSubstring(other + ": torch.export did (.pt2)"));
  CHECK_THAT(archive("serialized_exported_program.json"), ContainsSubstring("torch.export.load(path).state_dict"));
  CHECK_THAT(archive("fc/kernel.npy"), ContainsSubstring(other + ": it holds NumPy arrays (.npz)"));
  CHECK_THAT(archive("model.weights.h5"), ContainsSubstring(other + ": Keras did (.keras)"));
  CHECK_THAT(archive("photo.jpg"), ContainsSubstring(other + "\n  fix: unpack it"));

  const auto holding = [&](const std::string& file) {
    const thaw::test::Folder inner;
    std::ofstream(inner / file) << "1";
    return complaint([&] { (void)read_weights(inner / "."); });
  };
  const std::string directory = "is a directory, not a file of weights";
  CHECK_THAT(holding("__0_0.distcp"),
             ContainsSubstring(directory + ", but a checkpoint of torch.distributed.checkpoint") &&
                 ContainsSubstring("format_utils dcp_to_torch <folder> net.pth"));
  CHECK_THAT(holding("zero_to_fp32.py"), ContainsSubstring(directory + ", but a checkpoint of DeepSpeed"));
  CHECK_THAT(holding("saved_model.pb"), ContainsSubstring(directory + ", but a TensorFlow SavedModel"));
  CHECK_THAT(holding("data.pkl"), ContainsSubstring("zip -0 -r net.pth <folder>"));
  for (const std::string name : {"model.safetensors", "pytorch_model.bin.index.json", "epoch=3.ckpt", "best.pth"}) {
    CHECK_THAT(holding(name), ContainsSubstring("fix: name the file inside it: ") && ContainsSubstring(name));
  }
  std::ofstream(folder / "__0_0.distcp") << "PK\x03\x04";
  CHECK_THAT(complaint([&] { (void)read_weights(folder / "__0_0.distcp"); }),
             ContainsSubstring("is part of a checkpoint of torch.distributed.checkpoint, which is a folder"));
}

TEST_CASE("Paths that cannot be read say why") {
  CHECK_THAT(complaint([] { (void)read_weights("no/such/file.pth"); }),
             ContainsSubstring("no/such/file.pth: does not exist"));
  CHECK_THAT(complaint([] { (void)read_weights(weights("")); }), ContainsSubstring("is a directory"));
  CHECK_THAT(complaint([] { (void)read_weights("/dev/null"); }), ContainsSubstring("is not a regular file"));
}

TEST_CASE("Nothing in a file is ever run") {
  const std::filesystem::path trace = "/tmp/thaw_was_fooled";
  std::filesystem::remove(trace);
  for (const std::string name : {"evil.pth", "evil.legacy.pth"}) {
    const std::string message = complaint([&] { (void)read_weights(weights(name)); });
    CHECK_THAT(message, ContainsSubstring(".system', which is no part of a state dict; nothing was run"));
  }
  CHECK_FALSE(std::filesystem::exists(trace));
}

TEST_CASE("EfficientNet-lite0's published weights are read") {
  const auto state = read_weights(thaw::test::fetched("efficientnet-lite0-57934424.pth"));
  CHECK(state.size() == 296);
  CHECK(state.begin()->first == "_conv_stem.weight");
  CHECK(state.at("_conv_stem.weight").sizes() == at::IntArrayRef({32, 3, 3, 3}));
  CHECK(state.at("_fc.weight").sizes() == at::IntArrayRef({1000, 1280}));
  for (const auto& [name, tensor] : state) CHECK(at::isfinite(tensor).all().item<bool>());
}

TEST_CASE("A CIFAR-10 ResNet-20's published weights are read") {
  const auto state = read_weights(thaw::test::test_data("resnet20-cifar10.th"));
  CHECK(state.contains("conv1.weight"));  // saved as module.conv1.weight
  CHECK(state.contains("linear.bias"));
  for (const auto& [name, tensor] : state) CHECK(at::isfinite(tensor).all().item<bool>());
}
