// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <thaw/core/error.hpp>
#include <utility>
#include <vector>

namespace thaw::detail {

/// What a file or folder is that thaw does not read, and how to turn it into one that it does.
struct OtherFormat {
  std::string what = {}, fix = {};

  [[nodiscard]] FileError error(const std::string& name) const { return {name, what, fix}; }
};

[[nodiscard]] inline bool looks_like_text(std::string_view bytes) {
  const auto printable = [](char c) { return (c >= ' ' && c < 0x7f) || c == '\n' || c == '\r' || c == '\t'; };
  return std::ranges::all_of(bytes.substr(0, 64), printable);
}

/// A protobuf message that begins with a small number, as ONNX (its version, from 3 on) and TensorFlow's
/// saved_model.pb.
[[nodiscard]] inline bool looks_like_onnx(std::string_view bytes) {
  constexpr std::string_view next_fields = "\x12\x1a\x22\x3a\x42";  // producer, its version, domain, graph, imports
  return bytes.size() > 8 && bytes[0] == '\x08' && bytes[1] >= 3 && bytes[1] < 32 &&
         next_fields.find(bytes[2]) != std::string_view::npos;
}

/// By how its bytes begin. They are not empty.
[[nodiscard]] inline OtherFormat other_format(std::string_view bytes) {
  const std::string save = "save them in Python: torch.save(state_dict, \"net.pth\")";
  const std::string fetch = "fetch the file again, from an address that serves the file itself";
  const std::string arrays =
      "save its arrays by name in Python: safetensors.numpy.save_file({name: array, ...}, "
      "\"net.safetensors\")";
  struct Beginning {
    std::string_view bytes;
    std::string what, fix;
    std::size_t place = 0;
  };
  using namespace std::string_view_literals;
  const std::vector<Beginning> known = {
      {"version https://git-lfs.github.com", "is a git-lfs pointer, not the weights that it stands for",
       "run `git lfs pull` in its repository"},
      {"sys_info\0"sv, "is a tar archive; PyTorch before 0.1.10 saved such files, which thaw does not read",
       "load it in Python and save it again: torch.save(model.state_dict(), path)"},
      {"ustar", "is a tar archive", "unpack it, tar -xf <file>, and name the file inside it", 257},
      {"\x89HDF", "is an HDF5 file, as Keras writes them", "load it in Keras, or with h5py, and " + arrays},
      {"\x1f\x8b", "is compressed with gzip", "unpack it: gunzip <file>"},
      {"BZh", "is compressed with bzip2", "unpack it: bunzip2 <file>"},
      {"\xfd"
       "7zXZ",
       "is compressed with xz", "unpack it: unxz <file>"},
      {"\x28\xb5\x2f\xfd", "is compressed with Zstandard", "unpack it: unzstd <file>"},
      {"\x04\x22\x4d\x18", "is compressed with LZ4", "unpack it: unlz4 <file>"},
      {"7z\xbc\xaf\x27\x1c", "is a 7z archive", "unpack it, 7z x <file>, and name the file inside it"},
      {"Rar!", "is a rar archive", "unpack it, unrar x <file>, and name the file inside it"},
      {"GGUF", "is a GGUF file", "convert it to safetensors in Python: gguf.GGUFReader(path).tensors; " + arrays},
      {"\x93NUMPY", "is one NumPy array (.npy)", arrays},
      {"MATLAB 5.0", "is a MATLAB file", "read it in Python by scipy.io.loadmat, and " + arrays},
      {"TFL3", "is a TensorFlow Lite file", "take the network that it was made from, and " + arrays, 4},
      {"\x08\x01\x12", "is a TensorFlow SavedModel", "load it in TensorFlow, and " + arrays},
      {"\x80", "is a Python pickle, but torch.save did not write it", save}};
  for (const auto& [begin, what, fix, place] : known) {
    if (bytes.size() >= place && bytes.substr(place).starts_with(begin)) return {what, fix};
  }
  if (looks_like_onnx(bytes)) {
    return {"is an ONNX file",
            "in Python, take its arrays, onnx.numpy_helper.to_array(each) for each in "
            "onnx.load(path).graph.initializer, and " +
                arrays};
  }
  if (bytes.substr(0, bytes.find_first_not_of(" \t\r\n") + 1).ends_with('<')) {
    return {"is an HTML page, perhaps the error page of a download", fetch};
  }
  if (looks_like_text(bytes)) {
    const auto begin = bytes.substr(0, std::min(bytes.find_first_of("\r\n"), std::size_t{60}));
    return {fmt::format("is a text: \"{}\"", begin), fetch};
  }
  return {"is no file of weights: neither torch.save's two formats nor safetensors",
          "convert it to safetensors in Python"};
}

/// A zip archive without torch.save's pickle, by the names in it; `any(test)` says whether one passes.
template <class Any>
[[nodiscard]] OtherFormat other_archive(Any any) {
  const std::string what = "is a zip archive, but torch.save did not write it";
  const auto has = [&](std::string_view name) { return any([&](std::string_view each) { return each == name; }); };
  const auto ends = [&](std::string_view end) {
    return any([&](std::string_view each) { return each.ends_with(end); });
  };
  if (has("archive_format") || has("models/model.json") || has("serialized_exported_program.json")) {
    return {what + ": torch.export did (.pt2)",
            "save its tensors in Python: torch.save(torch.export.load(path).state_dict, \"net.pth\")"};
  }
  if (ends(".npy")) {
    return {what + ": it holds NumPy arrays (.npz)",
            "in Python: safetensors.numpy.save_file(dict(numpy.load(path)), \"net.safetensors\")"};
  }
  if (ends(".weights.h5")) {
    return {
        what + ": Keras did (.keras)",
        "load it in Keras, and save its variables by name in Python: safetensors.numpy.save_file({v.path: v.numpy() "
        "for v in model.variables}, \"net.safetensors\")"};
  }
  return {what, "unpack it and name the file inside it"};
}

/// A folder, by the names in it.
[[nodiscard]] inline OtherFormat other_folder(const std::filesystem::path& folder) {
  constexpr std::array<std::string_view, 4> usual = {"model.safetensors.index.json", "pytorch_model.bin.index.json",
                                                     "model.safetensors", "pytorch_model.bin"};
  constexpr std::array<std::string_view, 6> extensions = {".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".th"};
  const std::string what = "is a directory, not a file of weights";
  std::error_code error;
  const auto has = [&](std::string_view name) { return std::filesystem::exists(folder / name, error); };
  for (const std::string_view name : usual) {
    if (has(name)) return {what, fmt::format("name the file inside it: {}", (folder / name).string())};
  }
  std::vector<std::string> weights;
  bool distributed = false;
  for (std::filesystem::directory_iterator each(folder, error), end; !error && each != end; each.increment(error)) {
    const std::string extension = each->path().extension().string();
    distributed = distributed || extension == ".distcp";
    if (std::ranges::find(extensions, extension) != extensions.end()) weights.push_back(each->path().string());
  }
  if (distributed) {
    return {
        what + ", but a checkpoint of torch.distributed.checkpoint",
        "turn it into one file: python3 -m torch.distributed.checkpoint.format_utils dcp_to_torch <folder> net.pth"};
  }
  if (has("zero_to_fp32.py")) {
    return {what + ", but a checkpoint of DeepSpeed", "turn it into one: python3 zero_to_fp32.py . <folder>, in it"};
  }
  if (has("saved_model.pb")) {
    return {what + ", but a TensorFlow SavedModel",
            "load it in TensorFlow, and save its variables by name in Python: "
            "safetensors.numpy.save_file({...}, \"net.safetensors\")"};
  }
  if (has("data.pkl"))
    return {what + ", but what torch.save wrote, unpacked", "pack it again: zip -0 -r net.pth <folder>"};
  if (weights.size() == 1) return {what, fmt::format("name the file inside it: {}", weights[0])};
  return {what, "name the file inside it"};
}

}  // namespace thaw::detail
