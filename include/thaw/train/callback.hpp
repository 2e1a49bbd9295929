#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include <thaw/train/events.hpp>

namespace thaw {

/// Any object with any subset of these handlers, held by value (copies share it):
///
///     void on_stage_begin(const StageBegin&);   void on_step_end(const StepEnd&);
///     void on_epoch_end(const EpochEnd&);       void on_stage_end(const StageEnd&);
///
/// A handler of the wrong type, or a class with none of them, does not compile. To keep a callback's results, pass
/// `std::ref(callback)`.
class Callback {
 public:
  template <class Handler>
    requires(!std::same_as<std::remove_cvref_t<Handler>, Callback>)
  Callback(Handler handler) : self_(std::make_shared<Model<Handler>>(std::move(handler))) {}

  void on(const StageBegin& event) { self_->on(event); }
  void on(const StepEnd& event) { self_->on(event); }
  void on(const EpochEnd& event) { self_->on(event); }
  void on(const StageEnd& event) { self_->on(event); }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual void on(const StageBegin&) = 0;
    virtual void on(const StepEnd&) = 0;
    virtual void on(const EpochEnd&) = 0;
    virtual void on(const StageEnd&) = 0;
  };

  template <class Handler>
  struct Model final : Interface {
    explicit Model(Handler h) : handler(std::move(h)) {}

    using Class = std::unwrap_reference_t<Handler>;
    static constexpr bool takes_stage_begin = requires(Class& c, const StageBegin& e) { c.on_stage_begin(e); };
    static constexpr bool takes_step_end = requires(Class& c, const StepEnd& e) { c.on_step_end(e); };
    static constexpr bool takes_epoch_end = requires(Class& c, const EpochEnd& e) { c.on_epoch_end(e); };
    static constexpr bool takes_stage_end = requires(Class& c, const StageEnd& e) { c.on_stage_end(e); };
    static_assert(
        takes_stage_begin || !requires { &Class::on_stage_begin; },
        "thaw: a callback's on_stage_begin must take (const thaw::StageBegin&)");
    static_assert(
        takes_step_end || !requires { &Class::on_step_end; },
        "thaw: a callback's on_step_end must take (const thaw::StepEnd&)");
    static_assert(
        takes_epoch_end || !requires { &Class::on_epoch_end; },
        "thaw: a callback's on_epoch_end must take (const thaw::EpochEnd&)");
    static_assert(
        takes_stage_end || !requires { &Class::on_stage_end; },
        "thaw: a callback's on_stage_end must take (const thaw::StageEnd&)");
    static_assert(takes_stage_begin || takes_step_end || takes_epoch_end || takes_stage_end,
                  "thaw: a callback needs at least one of on_stage_begin, on_step_end, on_epoch_end, on_stage_end");

    Class& get() { return handler; }
    void on([[maybe_unused]] const StageBegin& event) override {
      if constexpr (takes_stage_begin) get().on_stage_begin(event);
    }
    void on([[maybe_unused]] const StepEnd& event) override {
      if constexpr (takes_step_end) get().on_step_end(event);
    }
    void on([[maybe_unused]] const EpochEnd& event) override {
      if constexpr (takes_epoch_end) get().on_epoch_end(event);
    }
    void on([[maybe_unused]] const StageEnd& event) override {
      if constexpr (takes_stage_end) get().on_stage_end(event);
    }

    Handler handler;
  };

  std::shared_ptr<Interface> self_;
};

}  // namespace thaw
