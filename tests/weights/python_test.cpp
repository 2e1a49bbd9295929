// C++ -> Python -> C++, against the real PyTorch; skipped where there is no Python with torch.

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <string>
#include <thaw/weights/read_weights.hpp>
#include <thaw/weights/save.hpp>
#include <vector>

#include "files.hpp"
#include "samples.hpp"

namespace {

bool python(const std::string& arguments) {
  return std::system((THAW_PYTHON " " + arguments).c_str()) == 0;
}

void need_python(const std::string& module) {
  if (!python("-c 'import " + module + "' 2>/dev/null")) {
    SKIP(THAW_PYTHON " has no " + module + ": set THAW_PYTHON when configuring to one that has");
  }
}

void round_trip(const thaw::StateDict& state, const std::string& there, const std::string& back) {
  const thaw::test::Folder folder;
  thaw::save_weights(state, folder / there);
  const std::string script = std::string(THAW_FIXTURES) + "/../reference/reload_weights.py ";
  REQUIRE(python(script + (folder / there).string() + " " + (folder / back).string()));
  CHECK(thaw::test::differences(state, thaw::read_weights(folder / back)) == std::vector<std::string>{});
}

}  // namespace

TEST_CASE("Python's torch.load(weights_only=True) opens a .pth, and saves the same bits") {
  need_python("torch");
  round_trip(thaw::test::sample_state(false), "from_cpp.pth", "from_python.pth");
}

TEST_CASE("Python's safetensors opens a .safetensors, and saves the same bits") {
  need_python("safetensors");
  need_python("torch");
  round_trip(thaw::test::sample_state(true), "from_cpp.safetensors", "from_python.safetensors");
}
