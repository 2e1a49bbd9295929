#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/train/callback.hpp>

#include <functional>
#include <memory>

namespace {
struct Handler {
  std::function<void(const thaw::StageBegin&)> handler;
  void on_stage_begin(const thaw::StageBegin& event) { handler(event); }
};
}  // namespace

std::shared_ptr<thaw::Callback> make_callback(std::function<void(const thaw::StageBegin&)> handler) {
  return std::make_shared<thaw::Callback>(Handler{std::move(handler)});
}
