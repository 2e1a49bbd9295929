// SPDX-License-Identifier: BSD-3-Clause
// C++ -> Python -> C++, against the real PyTorch; skipped where there is no Python with torch.

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <thaw/weights/read_weights.hpp>
#include <thaw/weights/save.hpp>
#include <vector>

#include "files.hpp"
#include "python.hpp"
#include "samples.hpp"

namespace {

void round_trip(const thaw::StateDict& state, const std::string& there, const std::string& back) {
  const thaw::test::Folder folder;
  thaw::save_weights(state, folder / there);
  REQUIRE(thaw::test::python("reload_weights.py", {folder / there, folder / back}));
  CHECK(thaw::test::differences(state, thaw::read_weights(folder / back)) == std::vector<std::string>{});
}

}  // namespace

TEST_CASE("Python's torch.load(weights_only=True) opens a .pth, and saves the same bits") {
  thaw::test::need_python({"torch"});
  round_trip(thaw::test::sample_state(false), "from_cpp.pth", "from_python.pth");
}

TEST_CASE("Python's safetensors opens a .safetensors, and saves the same bits") {
  thaw::test::need_python({"torch", "safetensors"});
  round_trip(thaw::test::sample_state(true), "from_cpp.safetensors", "from_python.safetensors");
}
