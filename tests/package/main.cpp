// What a user writes first. second.cpp includes the same headers.
#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/train/callback.hpp>

#include <cstdio>
#include <functional>
#include <memory>

std::shared_ptr<thaw::Callback> make_callback(std::function<void(const thaw::StageBegin&)> handler);

int main() {
  std::int64_t epochs = 0;
  const auto callback = make_callback([&](const thaw::StageBegin& stage) { epochs = stage.epochs; });
  callback->on(thaw::StageBegin{"head", 3, 10, {}});

  const std::vector<std::string> names{"stem", "head"};
  std::printf("thaw: %lld epochs of %s\n", static_cast<long long>(epochs), thaw::nearest_name("haed", names).c_str());
}
