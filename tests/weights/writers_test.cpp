// SPDX-License-Identifier: BSD-3-Clause
// One small network, written by all programs that are here to write it (tests/reference/write_weights.py): each file is
// read, or refused by its right name. THAW_WEIGHT_TABLE=<file> has the table of docs/weights.md written.

#include <fmt/format.h>
#include <torch/serialize.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thaw/weights/load.hpp>
#include <thaw/weights/module_state_dict.hpp>
#include <thaw/weights/passed_over.hpp>
#include <vector>

#include "files.hpp"
#include "net.hpp"
#include "python.hpp"
#include "support/folder.hpp"

namespace {

struct Written {
  std::string writer;
  std::filesystem::path file = {};
  std::string missing = {}, key = {}, prefix = {}, refused = {};
  bool partial = false;
  std::size_t tensors = 8;
};

/// Which of the network's tensors hold what the writers gave them.
std::size_t count_right(const thaw::test::Net& net) {
  std::size_t right = 0, place = 0;
  for (const auto& [name, tensor] : thaw::state_dict(*net)) {
    const at::Tensor given = thaw::test::stored(tensor.sizes(), static_cast<double>(place++)).to(tensor.scalar_type());
    right += tensor.detach().equal(given) ? 1 : 0;
  }
  return right;
}

/// What a Python writes, in the order of the script; `missing` names the module that a writer would need.
std::vector<Written> written_by(const std::string& python, const std::filesystem::path& folder) {
  const std::string script = std::string(THAW_FIXTURES) + "/../reference/write_weights.py";
  std::filesystem::create_directories(folder);
  const std::string log = folder.string() + ".log";
  const std::string command = fmt::format("'{}' '{}' '{}' > '{}' 2>&1", python, script, folder.string(), log);
  INFO(command);
  const bool done = std::system(command.c_str()) == 0;
  INFO(thaw::test::bytes_of(log));
  REQUIRE(done);
  std::vector<Written> files;
  for (const nlohmann::json& each : nlohmann::json::parse(std::ifstream(folder / "writers.json"))) {
    files.push_back({.writer = each.at("writer"),
                     .file = folder / each.at("file").get<std::string>(),
                     .missing = each.value("missing", ""),
                     .key = each.value("key", ""),
                     .prefix = each.value("prefix", ""),
                     .refused = each.value("refused", ""),
                     .partial = each.value("partial", false),
                     .tensors = each.value("tensors", std::size_t{8})});
  }
  return files;
}

/// The network with the writers' numbers.
thaw::test::Net numbered_net() {
  thaw::test::Net net;
  const at::NoGradGuard no_grad;
  double place = 0;
  for (const auto& [name, tensor] : thaw::state_dict(*net)) {
    at::Tensor to = tensor;
    to.copy_(thaw::test::stored(tensor.sizes(), place++));
  }
  return net;
}

/// LibTorch's own, and those of tch-rs, whose at_save_multi this does by hand.
std::vector<Written> written_here(const std::filesystem::path& folder) {
  const auto net = numbered_net();
  torch::save(net, (folder / "libtorch.pt").string());
  c10::Dict<std::string, at::Tensor> dict;
  torch::serialize::OutputArchive variables;
  for (const auto& [name, tensor] : thaw::state_dict(*net)) {
    dict.insert(name, tensor.detach());
    std::string piped = name;
    std::ranges::replace(piped, '.', '|');
    variables.write(piped, tensor.detach());
  }
  const std::vector<char> pickled = torch::pickle_save(dict);
  std::ofstream(folder / "pickled.pt", std::ios::binary).write(pickled.data(), std::ssize(pickled));
  variables.save_to((folder / "tch.ot").string());
  return {{.writer = "LibTorch's torch::save", .file = folder / "libtorch.pt"},
          {.writer = "LibTorch's torch::pickle_save of a Dict", .file = folder / "pickled.pt"},
          {.writer = "tch-rs, VarStore::save (its calls of LibTorch)", .file = folder / "tch.ot"}};
}

/// ".deps/peers", which has fastai and Lightning; empty if it is not there.
std::string peers_python() {
  if (const char* named = std::getenv("THAW_PEERS_PYTHON")) return named;
  const std::filesystem::path usual = std::filesystem::path(THAW_FIXTURES) / "../../.deps/peers/bin/python";
  return std::filesystem::exists(usual) ? usual.string() : std::string{};
}

/// A row of the table, for what happened.
std::string try_file(const Written& each) {
  INFO(each.writer);
  const std::string option = !each.key.empty()      ? fmt::format(", `.key = \"{}\"`", each.key)
                             : !each.prefix.empty() ? fmt::format(", `.prefix = \"{}\"`", each.prefix)
                             : each.partial         ? ", `.partial = true`"
                                                    : "";
  if (!each.missing.empty()) {
    fmt::print("SKIPPED: there is no Python module {}, so no file of \"{}\" was tried\n", each.missing, each.writer);
    return fmt::format("| {} | not tried: no {} | |\n", each.writer, each.missing);
  }
  thaw::test::Net net;
  thaw::LoadReport report;
  const std::string message = thaw::test::complaint([&] {
    report = thaw::load_weights(net, each.file, {.key = each.key, .prefix = each.prefix, .partial = each.partial});
  });
  INFO(message);
  if (!each.refused.empty()) {
    CHECK_THAT(message, Catch::Matchers::ContainsSubstring(each.refused));
    std::string said = message.substr(message.find(": ") + 2);
    said = said.substr(0, said.find('\n'));
    return fmt::format("| {} | refused: {} | |\n", each.writer, said);
  }
  CHECK(message.empty());
  CHECK(count_right(net) == each.tensors);
  return fmt::format("| {} | {} of 8{} | {} |\n", each.writer, count_right(net), option,
                     thaw::detail::passed_over_text(report.passed_over, 3));
}

}  // namespace

TEST_CASE("The files of many writers are read, or refused by their right names") {
  thaw::test::need_python({"torch"});
  const thaw::test::Folder folder;
  std::vector<Written> files = written_by(thaw::test::python_command(), folder / "python");
  if (const std::string peers = peers_python(); !peers.empty()) {
    const std::vector<Written> more = written_by(peers, folder / "peers");
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (!files[i].missing.empty()) files[i] = more.at(i);
    }
  }
  const std::vector<Written> own = written_here(folder / ".");
  files.insert(files.end(), own.begin(), own.end());

  std::string table = "| Written by | Read by `load_weights` | Passed over |\n|---|---|---|\n";
  for (const Written& each : files) table += try_file(each);
  if (const char* path = std::getenv("THAW_WEIGHT_TABLE")) std::ofstream(path) << table;
}
