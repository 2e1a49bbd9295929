// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/enum.h>

#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/forward_part.hpp>
#include <thaw/data/fields.hpp>
#include <thaw/train/loss.hpp>

namespace thaw::detail {

/// What a Learner trains, once the types of model and loss are out of the way.
struct Task {
  std::function<Fields(const Fields& input)> forward;
  std::function<at::Tensor(const Fields& output, const Fields& target)> loss;
  std::function<void(const Fields& output, const Fields& targets)> check = {};  ///< the loss's own; may be empty
  /// How much of a batch the loss is a mean over, to its samples: less than 1 where targets are ignored, the mean class
  /// weight where classes have weights. May be empty: 1.
  std::function<at::Tensor(const Fields& output, const Fields& target)> counted = {};
  std::function<std::vector<ForwardPart>()> parts = {};  ///< of the model's forward; empty where it cannot be split
};

// ---- the parameters that a function was written with, where it is one function and no template ----

template <class... P>
struct Parameters {
  static constexpr std::size_t count = sizeof...(P);
};
template <class F>
struct ParametersOf {
  using type = void;
};
template <class R, class... P>
struct ParametersOf<R (*)(P...)> {
  using type = Parameters<std::remove_cvref_t<P>...>;
};
template <class C, class R, class... P>
struct ParametersOf<R (C::*)(P...)> : ParametersOf<R (*)(P...)> {};
template <class C, class R, class... P>
struct ParametersOf<R (C::*)(P...) const> : ParametersOf<R (*)(P...)> {};

template <class M>
[[nodiscard]] constexpr auto forward_parameters() {
  if constexpr (requires { &M::forward; })
    return std::type_identity<typename ParametersOf<decltype(&M::forward)>::type>{};
  else
    return std::type_identity<void>{};
}

template <class L>
[[nodiscard]] constexpr auto call_parameters() {
  if constexpr (requires { &L::operator(); })
    return std::type_identity<typename ParametersOf<decltype(&L::operator())>::type>{};
  else
    return std::type_identity<typename ParametersOf<L>::type>{};
}

template <class T>
concept FieldsParameter = (std::same_as<T, Fields> || FieldsLike<T>) && !TensorLike<T>;

// ---- the model ----

inline constexpr std::size_t most_inputs = 6;

template <class Model, std::size_t N>
inline constexpr bool forward_takes = []<std::size_t... I>(std::index_sequence<I...>) {
  return requires(Model& model, const at::Tensor& x) {
    { model->forward(((void)I, x)...) } -> FieldsLike;
  };
}(std::make_index_sequence<N>{});

template <class Model>
inline constexpr bool forward_takes_tensors = []<std::size_t... N>(std::index_sequence<N...>) {
  return (forward_takes<Model, N + 1> || ...);
}(std::make_index_sequence<most_inputs>{});

/// The type of forward's one parameter, if that is a struct of tensors, a dictionary, a vector...; else void.
template <class Model>
struct BatchParameter {
  template <class P>
  static std::type_identity<P> only(std::type_identity<Parameters<P>>)
    requires FieldsParameter<P>;
  static std::type_identity<void> only(...);
  using type =
      typename decltype(only(forward_parameters<std::remove_cvref_t<decltype(*std::declval<Model&>())>>()))::type;
};

template <std::size_t N, class Model>
[[nodiscard]] Fields forward_n(Model& model, const Fields& input) {
  if constexpr (N > most_inputs) {
    throw ConfigError("model",
                      "a batch has " + std::to_string(input.size()) + " inputs, and its forward takes another number",
                      "give as many as forward takes, in that order, or let forward take a struct of them");
  } else {
    if constexpr (forward_takes<Model, N>)
      if (input.size() == N)
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
          return Fields(model->forward(input[I]...));
        }(std::make_index_sequence<N>{});
    return forward_n<N + 1>(model, input);
  }
}

template <class Model>
[[nodiscard]] Fields forward(Model& model, const Fields& input) {
  using Whole = typename BatchParameter<Model>::type;
  if constexpr (!std::is_void_v<Whole>) {
    return model->forward(input.template as<Whole>());
  } else {
    if (input.names().size() > 1)
      throw ConfigError("model",
                        "a batch is a dictionary of " + join_names(input.names()) + ", but forward takes tensors",
                        "let forward take a std::map<std::string, at::Tensor>, since names have no order");
    return forward_n<1>(model, input);
  }
}

// ---- the loss ----

template <class Loss>
inline constexpr bool loss_takes_tensors =
    std::is_invocable_r_v<at::Tensor, const Loss&, const at::Tensor&, const at::Tensor&>;

/// Calls f(output, target) with the parameter types that it was written with.
template <class Loss, class Call>
struct TypedLoss {
  template <class O, class T>
  static std::type_identity<Parameters<O, T>> both(std::type_identity<Parameters<O, T>>)
    requires((std::same_as<O, Fields> || FieldsLike<O>) && (std::same_as<T, Fields> || FieldsLike<T>));
  static std::type_identity<void> both(...);
  using type = typename decltype(both(call_parameters<Loss>()))::type;
};

template <class Loss>
using loss_parameters_t = typename TypedLoss<Loss, void>::type;

/// LibTorch's own: a module (torch::nn::CrossEntropyLoss), whose forward is the loss.
template <class Loss>
concept LossModule = requires(Loss& loss, const at::Tensor& x, const at::Device& device) {
  { loss->forward(x, x) } -> std::convertible_to<at::Tensor>;
  loss->to(device);
};

/// Or a function with options behind (torch::nn::functional::cross_entropy), which are left at their defaults.
template <class Loss>
struct LossOptions {
  template <class O, class T, class Options>
  static std::type_identity<Options> third(std::type_identity<Parameters<O, T, Options>>)
    requires std::default_initializable<Options>;
  static std::type_identity<void> third(...);
  using type = typename decltype(third(call_parameters<Loss>()))::type;
};

/// Those of LibTorch's cross entropy and negative log likelihood, which give NaN for a batch in which every target is
/// ignored, and whose means are over what is not.
template <class Options>
concept IgnoresTargets = requires(const Options& options) {
  { options.ignore_index() } -> std::convertible_to<std::int64_t>;
  { options.weight() } -> std::convertible_to<at::Tensor>;
};

/// The same loss in thaw's form.
template <IgnoresTargets Options>
[[nodiscard]] auto own_loss(const Options& options) {
  if constexpr (requires { options.label_smoothing(); })
    return CrossEntropy{options.label_smoothing(), options.weight(), options.ignore_index()};
  else
    return NegativeLogLikelihood{options.weight(), options.ignore_index()};
}

/// Whether a reduction is one over the samples.
template <class Reduction>
[[nodiscard]] bool is_mean(const Reduction& reduction) {
  const auto of = []<class R>(const R&) {
    return std::same_as<R, torch::enumtype::kMean> || std::same_as<R, torch::enumtype::kBatchMean>;
  };
  return std::visit(of, reduction);
}

/// The loss, with what tensors it has on the model's device where it can bring them there, and LibTorch's own in the
/// form of all others.
template <class Loss>
[[nodiscard]] auto loss_on([[maybe_unused]] const at::Device& device, Loss loss) {
  if constexpr (requires {
                  { loss.to(device) } -> std::same_as<Loss>;
                }) {
    return loss.to(device);
  } else if constexpr (LossModule<Loss>) {
    if constexpr (requires { std::get_if<torch::enumtype::kMean>(&loss->options.reduction()); })
      if (!is_mean(loss->options.reduction()))
        throw ConfigError("Learner", "the loss module is no mean over the samples",
                          "leave its reduction at torch::kMean");
    loss->to(device);
    if constexpr (IgnoresTargets<decltype(loss->options)>)
      return own_loss(loss->options);
    else
      return [loss](const at::Tensor& output, const at::Tensor& target) -> at::Tensor {
        Loss module = loss;
        return module->forward(output, target);
      };
  } else if constexpr (!loss_takes_tensors<Loss> && !std::is_void_v<typename LossOptions<Loss>::type>) {
    using Options = typename LossOptions<Loss>::type;
    if constexpr (IgnoresTargets<Options>)
      return own_loss(Options());
    else
      return [loss](const at::Tensor& output, const at::Tensor& target) -> at::Tensor {
        return loss(output, target, Options());
      };
  } else {
    return loss;
  }
}

/// Calls `hook(loss, output, target)` with what the loss itself takes.
template <class Loss, class Hook>
[[nodiscard]] auto with_loss_types(const Loss& loss, const Fields& output, const Fields& target, const Hook& hook) {
  if constexpr (loss_takes_tensors<Loss>)
    return hook(loss, static_cast<const at::Tensor&>(output), static_cast<const at::Tensor&>(target));
  else
    return [&]<class O, class T>(std::type_identity<Parameters<O, T>>) {
      return hook(loss, output.template as<O>(), target.template as<T>());
    }(std::type_identity<loss_parameters_t<Loss>>{});
}

template <class Loss>
inline constexpr bool has_check =
    requires { &Loss::check; } || requires(const Loss& loss, const at::Tensor& x) { loss.check(x, x); };
template <class Loss>
inline constexpr bool has_counted =
    requires { &Loss::counted; } || requires(const Loss& loss, const at::Tensor& x) { loss.counted(x, x); };

/// Puts types away. What does not fit is said here, in one line.
template <class Model, class Loss>
[[nodiscard]] Task make_task(Model model, Loss loss) {
  static_assert(forward_takes_tensors<Model> || !std::is_void_v<typename BatchParameter<Model>::type>,
                "thaw: the model needs a `forward` that takes one at::Tensor or several (or a struct or dictionary of "
                "them) and returns one (or a struct of them)");
  static_assert(loss_takes_tensors<Loss> || !std::is_void_v<loss_parameters_t<Loss>>,
                "thaw: a loss must be callable as `at::Tensor(const at::Tensor& output, const at::Tensor& target) "
                "const`; either may be a struct of tensors instead");
  Task task;
  task.forward = [model](const Fields& input) mutable { return forward(model, input); };
  if constexpr (SplitForward<Model>) task.parts = [model]() mutable { return forward_parts(model); };
  if constexpr (has_check<Loss>)
    task.check = [loss](const Fields& output, const Fields& targets) {
      with_loss_types(loss, output, targets, [](const Loss& l, const auto& o, const auto& t) {
        static_assert(requires { l.check(o, t); },
                      "thaw: a loss's `check` must take what the loss takes: (output, targets) const");
        l.check(o, t);
      });
    };
  if constexpr (has_counted<Loss>)
    task.counted = [loss](const Fields& output, const Fields& target) {
      return with_loss_types(loss, output, target, [](const Loss& l, const auto& o, const auto& t) -> at::Tensor {
        static_assert(requires { l.counted(o, t); },
                      "thaw: a loss's `counted` must take what the loss takes: (output, target) const");
        return l.counted(o, t);
      });
    };
  task.loss = [l = std::move(loss)](const Fields& output, const Fields& target) -> at::Tensor {
    return with_loss_types(l, output, target,
                           [](const Loss& own, const auto& o, const auto& t) -> at::Tensor { return own(o, t); });
  };
  return task;
}

}  // namespace thaw::detail
