// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/util/Type.h>

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>

#include <thaw/core/error.hpp>
#include <thaw/train/detail/foreign_events.hpp>
#include <thaw/train/events.hpp>

namespace thaw {

namespace detail {

/// How an event reaches a class: by the handler of its name.
template <class Event>
struct HandlerOf;

/// The class that hears: of an object, a std::reference_wrapper or a std::shared_ptr to it.
template <class Handler>
struct HearerOf {
  using type = std::remove_reference_t<std::unwrap_reference_t<Handler>>;
  static type& of(Handler& handler) { return handler; }
};
template <class C>
struct HearerOf<std::shared_ptr<C>> {
  using type = C;
  static C& of(const std::shared_ptr<C>& handler) { return *handler; }
};

// Every event and its handler. A new one is a struct in events.hpp and a line here.
// NOLINTBEGIN(cppcoreguidelines-macro-usage): names of handlers, which a template cannot make
#define THAW_EVENTS(X)                  \
  X(StagePlanned, on_stage_planned)     \
  X(FitBegin, on_fit_begin)             \
  X(StageBegin, on_stage_begin)         \
  X(EpochBegin, on_epoch_begin)         \
  X(BatchReady, on_batch_ready)         \
  X(LossReady, on_loss_ready)           \
  X(GradientsReady, on_gradients_ready) \
  X(StepEnd, on_step_end)               \
  X(EpochTrained, on_epoch_trained)     \
  X(EpochEnd, on_epoch_end)             \
  X(StageEnd, on_stage_end)             \
  X(FitEnd, on_fit_end)                 \
  X(LRFindEnd, on_lr_find_end)          \
  X(SafePoint, on_safe_point)           \
  X(RunStateVisit, on_run_state)

/// What a callback remembers while a stage runs, where it has a `struct State`: see Callback.
template <class C>
struct StateOf {
  using type = std::monostate;
};
template <class C>
  requires std::default_initializable<typename C::State>
struct StateOf<C> {
  using type = typename C::State;
};

#define THAW_EVENT(Event, handler)                                                                 \
  template <>                                                                                      \
  struct HandlerOf<Event> {                                                                        \
    template <class C>                                                                             \
    static constexpr bool takes = requires(C & c, const Event& event) {                            \
      c.handler(event);                                                                            \
    }                                                                                              \
    || requires(C & c, const Event& event, typename StateOf<C>::type& state) {                     \
      c.handler(event, state);                                                                     \
    };                                                                                             \
    template <class C>                                                                             \
    static constexpr void check() {                                                                \
      static_assert(                                                                               \
          takes<C> || !requires { &C::handler; },                                                  \
          "thaw: a callback's " #handler " must take (const thaw::" #Event "&)");                  \
    }                                                                                              \
    template <class C>                                                                             \
    static void call(C& c, const Event& event, typename StateOf<C>::type& state) {                 \
      if constexpr (requires { c.handler(event, state); })                                         \
        c.handler(event, state);                                                                   \
      else                                                                                         \
        c.handler(event);                                                                          \
    }                                                                                              \
  };

THAW_EVENTS(THAW_EVENT)

#define THAW_SLOT(Event, handler) , std::function<void(const Event&)>

/// A slot for each of them.
template <class, class... Slot>
using TupleBehind = std::tuple<Slot...>;
using EventSlots = TupleBehind<void THAW_EVENTS(THAW_SLOT)>;

#undef THAW_SLOT
#undef THAW_EVENT
#undef THAW_EVENTS
// NOLINTEND(cppcoreguidelines-macro-usage)

}  // namespace detail

/// Any object with any subset of these handlers, held by value (copies share it). A stage runs through them so:
///
///     void on_stage_planned(const StagePlanned&);      before anything is checked
///     void on_fit_begin(const FitBegin&);              knows the whole plan
///     void on_stage_begin(const StageBegin&);
///       void on_epoch_begin(const EpochBegin&);
///         void on_batch_ready(const BatchReady&);          may change the batch
///         void on_loss_ready(const LossReady&);            may replace the loss
///         void on_gradients_ready(const GradientsReady&);  may change the gradients
///         void on_step_end(const StepEnd&);
///       void on_epoch_trained(const EpochTrained&);    validation follows
///       void on_epoch_end(const EpochEnd&);
///     void on_stage_end(const StageEnd&);
///     void on_fit_end(const FitEnd&);                  also after an exception
///     void on_lr_find_end(const LRFindEnd&);              find_lr has found
///     void on_safe_point(const SafePoint&);            after all have heard of a step's, epoch's or stage's end
///     void on_run_state(const RunStateVisit&);         a checkpoint is written, or a run resumed
///
/// Each event goes to the Learner's callbacks first, then to those given to `fit`, in the order in which they were
/// given. A handler of the wrong type does not compile, nor does a class with none of them, or with a handler by
/// another library's name for it (`on_batch_end`, `after_epoch`). A callback is copied; to keep its results, pass
/// `std::ref(callback)` or a std::shared_ptr to it.
///
/// Options are a callback's members. What it remembers while a stage runs is a `struct State` of it, which handlers
/// take as a second argument. It is made anew as each stage begins; for checkpoints `on_run_state` visits it:
///
///     struct Patience {
///       std::int64_t epochs = 3;
///       struct State { std::int64_t waited = 0; };
///       void on_epoch_end(const EpochEnd& event, State& now) const;
///       void on_run_state(const RunStateVisit& event, State& now) const { event.state("waited", now.waited); }
///     };
///
/// With several processes (World) each has its callbacks, which see the same losses and metrics. A class that writes
/// files or speaks to people says `static constexpr bool first_process_only = true;` and is then told nothing in the
/// others.
class Callback {
 public:
  template <class Handler>
    requires(!std::same_as<std::remove_cvref_t<Handler>, Callback>)
  Callback(Handler handler) {
    using Class = typename detail::HearerOf<Handler>::type;
    if constexpr (std::same_as<Handler, std::shared_ptr<Class>>)
      if (handler == nullptr) throw ConfigError("callbacks", "one is a null pointer", "give a callback");
    detail::check_foreign_events<Class>();
    name_ = c10::demangle(typeid(Class).name());
    if constexpr (requires { Class::first_process_only; }) first_process_only_ = Class::first_process_only;
    const auto self = std::make_shared<Held<Handler, Class>>(Held<Handler, Class>{std::move(handler), {}});
    std::apply([&](auto&... slot) { (bind<Class>(self, slot), ...); }, slots_);
    static_assert(
        []<class... Event>(std::type_identity<std::tuple<std::function<void(const Event&)>...>>) {
          return (detail::HandlerOf<Event>::template takes<Class> || ...);
        }(std::type_identity<detail::EventSlots>{}),
        "thaw: a callback needs at least one of on_stage_begin, on_step_end, on_epoch_end, on_stage_end, or another "
        "handler that thaw/train/callback.hpp lists");
  }

  template <class Event>
  void on(const Event& event) const {
    if (const auto& slot = std::get<std::function<void(const Event&)>>(slots_)) slot(event);
  }
  template <class Event>
  [[nodiscard]] bool hears() const {
    return static_cast<bool>(std::get<std::function<void(const Event&)>>(slots_));
  }

  /// Of its class.
  [[nodiscard]] const std::string& name() const { return name_; }

  [[nodiscard]] bool first_process_only() const { return first_process_only_; }
  /// One that hears the same and does nothing.
  [[nodiscard]] Callback silenced() const {
    Callback silent = *this;
    const auto silence = []<class Event>(std::function<void(const Event&)>& slot) {
      if (slot) slot = [](const Event&) {};
    };
    std::apply([&](auto&... slot) { (silence(slot), ...); }, silent.slots_);
    return silent;
  }

 private:
  template <class Handler, class Class>
  struct Held {
    Handler handler;
    typename detail::StateOf<Class>::type state;
  };

  template <class Class, class Handler, class Event>
  static void bind(const std::shared_ptr<Held<Handler, Class>>& self, std::function<void(const Event&)>& slot) {
    using Of = detail::HandlerOf<Event>;
    Of::template check<Class>();
    if constexpr (Of::template takes<Class> || std::same_as<Event, StageBegin>)
      slot = [self](const Event& event) {
        if constexpr (std::same_as<Event, StageBegin>) self->state = {};
        if constexpr (Of::template takes<Class>)
          Of::call(detail::HearerOf<Handler>::of(self->handler), event, self->state);
      };
  }

  detail::EventSlots slots_;
  std::string name_;
  bool first_process_only_ = false;
};

}  // namespace thaw
