// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/checkpoint/file.hpp>

#include <sys/resource.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <csignal>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>
#include <thaw/weights/read_weights.hpp>

#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::RunState;
using thaw::test::Folder;
using thaw::test::text_of;

namespace {

RunState sample() {
  RunState state{
      {"model/weight", at::randn({7, 5})},         {"place/step", at::full({}, 12, at::kLong)},
      {"place/begun", at::full({}, 1, at::kBool)}, {"generators/cpu", at::arange(50, at::kByte)},
      {"empty", at::full({0}, 1, at::kDouble)},    {"turned", at::arange(12, at::kFloat).reshape({3, 4}).t()}};
  return state;
}

void put(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// A limit of this process, lowered while it lives.
struct Limit {
  Limit(__rlimit_resource what, rlim_t value) : resource(what) {
    ::getrlimit(resource, &before);
    const rlimit lowered{value, before.rlim_max};
    ::setrlimit(resource, &lowered);
  }
  ~Limit() { ::setrlimit(resource, &before); }
  __rlimit_resource resource;
  rlimit before{};
};

}  // namespace

TEST_CASE("a checkpoint gives back every tensor, bit for bit, and is a safetensors file") {
  const Folder folder;
  const RunState state = sample();
  thaw::write_checkpoint(state, folder / "a.safetensors", "run 1");
  const RunState back = thaw::read_checkpoint(folder / "a.safetensors");
  REQUIRE(back.size() == state.size());
  for (const auto& [name, tensor] : state) {
    INFO(name);
    REQUIRE(back.contains(name));
    CHECK(back.at(name).scalar_type() == tensor.scalar_type());
    CHECK(back.at(name).equal(tensor));
  }
  CHECK(thaw::read_weights(folder / "a.safetensors").contains("model/weight"));
  CHECK(thaw::read_metadata(folder / "a.safetensors").at("run") == "run 1");
  CHECK(thaw::read_metadata(folder / "a.safetensors").at("thaw") == thaw::version);
}

TEST_CASE("a checkpoint with any bit of any byte turned is refused") {
  const Folder folder;
  thaw::write_checkpoint(sample(), folder / "a.safetensors");
  const std::string good = text_of(folder / "a.safetensors");
  const auto damaged = folder / "damaged.safetensors";
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << i % 8));
    put(damaged, bad);
    INFO("byte " << i << " of " << good.size());
    REQUIRE_THROWS_MATCHES(thaw::read_checkpoint(damaged), thaw::FileError,
                           MessageMatches(ContainsSubstring("is damaged: its checksum is another one")));
  }
}

TEST_CASE("a checkpoint that was cut short anywhere is refused") {
  const Folder folder;
  thaw::write_checkpoint(sample(), folder / "a.safetensors");
  const std::string good = text_of(folder / "a.safetensors");
  const auto damaged = folder / "damaged.safetensors";
  for (std::size_t size = 0; size < good.size(); ++size) {
    put(damaged, good.substr(0, size));
    REQUIRE_THROWS_AS(thaw::read_checkpoint(damaged), thaw::FileError);
  }
  put(damaged, good + '\0');
  CHECK_THROWS_AS(thaw::read_checkpoint(damaged), thaw::FileError);
}

TEST_CASE("a checkpoint larger than what is read at once has the same checksum") {
  const Folder folder;
  const RunState state{{"large", at::randn({std::int64_t{3} << 18})}};  // 3 MB
  thaw::write_checkpoint(state, folder / "a.safetensors");
  CHECK(thaw::read_checkpoint(folder / "a.safetensors").at("large").equal(state.at("large")));
}

TEST_CASE("a full disk is an error that names the file, and the old checkpoint stays") {
  const Folder folder;
  thaw::write_checkpoint(sample(), folder / "a.safetensors");
  const std::string good = text_of(folder / "a.safetensors");
  {
    const auto before = std::signal(SIGXFSZ, SIG_IGN);
    const Limit small(RLIMIT_FSIZE, 2000);
    CHECK_THROWS_MATCHES(thaw::write_checkpoint({{"more", at::randn({5000})}}, folder / "a.safetensors"),
                         thaw::FileError,
                         MessageMatches(ContainsSubstring("a.safetensors: cannot be written: File too large")));
    std::signal(SIGXFSZ, before);
  }
  CHECK(text_of(folder / "a.safetensors") == good);
  CHECK(thaw::test::names_in(folder / "").size() == 1);
}

TEST_CASE("a program out of file handles gets an error that says so, for writing and for reading") {
  const Folder folder;
  thaw::write_checkpoint(sample(), folder / "a.safetensors");
  // errors are looked at when there are handles again: UBSan needs one to look at an object
  const auto error_of = [](const auto& work) -> std::string {
    std::exception_ptr caught;
    {
      const Limit none(RLIMIT_NOFILE, 0);
      try {
        work();
      } catch (...) {
        caught = std::current_exception();
      }
    }
    try {
      if (caught) std::rethrow_exception(caught);
    } catch (const thaw::FileError& error) {
      return error.what();
    }
    return "none";
  };
  const std::string written = error_of([&] { thaw::write_checkpoint(sample(), folder / "b.safetensors"); });
  CHECK_THAT(written, ContainsSubstring("Too many open files"));
  const std::string read = error_of([&] { (void)thaw::read_checkpoint(folder / "a.safetensors"); });
  CHECK_THAT(read, ContainsSubstring("Too many open files"));
}

TEST_CASE("a checkpoint that is not there, and a safetensors file that is none, are errors that say so") {
  const Folder folder;
  CHECK_THROWS_MATCHES(thaw::read_checkpoint(folder / "none.safetensors"), thaw::FileError,
                       MessageMatches(ContainsSubstring("No such file")));
  thaw::StateDict weights;
  weights.insert("weight", at::randn({3}));
  thaw::save_weights(weights, folder / "weights.safetensors");
  CHECK_THROWS_AS(thaw::read_checkpoint(folder / "weights.safetensors"), thaw::FileError);
}
