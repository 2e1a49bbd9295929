// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/vision/random.hpp>
#include <thaw/vision/sample.hpp>
#include <thaw/vision/warp.hpp>

namespace thaw::vision {

/// Says where the pixels of an image of this size go: `Warp operator()(cv::Size, Random&) const`.
template <class T>
concept GeometricTransform = requires(const T& transform, cv::Size size, Random& random) {
  { transform(size, random) } -> std::same_as<Warp>;
};

/// Changes the pixels of an image where they are: `void operator()(cv::Mat&, Random&) const`.
template <class T>
concept PixelTransform = std::invocable<const T&, cv::Mat&, Random&> && !std::invocable<const T&, Sample&, Random&> &&
                         !GeometricTransform<T>;

/// Changes anything: `void operator()(Sample&, Random&) const`.
template <class T>
concept SampleTransform = std::invocable<const T&, Sample&, Random&> && !GeometricTransform<T>;

/// Transforms, one after the other; each of the three kinds, a lambda of its shape, or another Transforms. Geometric
/// ones that follow one another are joined (see Warp): one of them sees the size that those before it lead to, and what
/// those before it cut off is still there.
/// Example: `Transforms{Resize{128}, aug_transforms(), [](cv::Mat& image, Random&) { cv::medianBlur(image, image, 3);
/// }}`
class Transforms {
 public:
  /// One of them.
  struct Step {
    std::function<Warp(cv::Size, Random&)> warp;   ///< either this
    std::function<void(Sample&, Random&)> change;  ///< or this
    std::function<double(cv::Size)> shrink = {};   ///< of a Resize: how many times smaller it makes an image
    std::optional<double> zoom = {};               ///< how many times larger it may make a part of one, where that is known
  };

  Transforms() = default;
  template <class... T>
    requires(sizeof...(T) > 0 && (!std::same_as<std::remove_cvref_t<T>, Transforms> || ...))
  Transforms(T... transforms) {
    (add(std::move(transforms)), ...);
  }

  /// One more behind the others.
  template <class T>
  void add(T transform) {
    if constexpr (std::same_as<T, Transforms>) {
      steps_.insert(steps_.end(), transform.steps_.begin(), transform.steps_.end());
    } else if constexpr (GeometricTransform<T>) {
      Step step;
      if constexpr (requires(cv::Size size) { transform.shrink(size); })
        step.shrink = [transform](cv::Size size) { return transform.shrink(size); };
      if constexpr (requires { transform.zoom(); }) step.zoom = transform.zoom();
      step.warp = std::move(transform);
      steps_.push_back(std::move(step));
    } else if constexpr (SampleTransform<T>) {
      steps_.push_back({.warp = {}, .change = std::move(transform)});
    } else {
      static_assert(PixelTransform<T>,
                    "thaw: a transform must be callable, without changing itself, as Warp(cv::Size, Random&), as "
                    "void(cv::Mat&, Random&) or as void(Sample&, Random&)");
      steps_.push_back({.warp = {}, .change = [transform = std::move(transform)](Sample& sample, Random& random) {
                          transform(sample.image, random);
                        },
                        .zoom = 1});
    }
  }

  [[nodiscard]] bool empty() const { return steps_.empty(); }

  /// How many times smaller an image of this size may be read: 1, 2, 4 or 8, so that it has no fewer pixels than the
  /// transforms look at. 1 where they do not begin with a Resize, or one of them does not say how much it may enlarge.
  [[nodiscard]] int reduction(cv::Size from) const {
    if (steps_.empty() || !steps_[0].shrink || from.empty()) return 1;
    double shrink = steps_[0].shrink(from);
    for (std::size_t i = 1; i < steps_.size(); ++i) {
      const std::optional<double> zoom = steps_[i].zoom;
      if (!zoom) return 1;
      shrink /= *zoom;
    }
    int times = 1;
    while (times < 8 && 2 * times <= shrink) times *= 2;
    return times;
  }

  void operator()(Sample& sample, Random& random) const {
    std::optional<Warp> pending;
    const auto flush = [&] {
      if (pending) apply(*pending, sample);
      pending.reset();
    };
    for (const Step& step : steps_) {
      if (!step.warp) {
        flush();
        step.change(sample, random);
        continue;
      }
      Warp next = step.warp(pending ? pending->size : sample.image.size(), random);
      if (pending && !joins(*pending, next)) flush();
      if (pending) next = joined(*pending, next);
      pending = next;
    }
    flush();
  }

 private:
  static bool joins(const Warp& a, const Warp& b) {
    return a.beyond == Beyond::nothing || b.beyond == Beyond::nothing ||
           (a.beyond == b.beyond &&
            (a.beyond == Beyond::mirrored || (a.color == b.color && a.mask_beyond == b.mask_beyond)));
  }
  /// First one, then the other.
  static Warp joined(const Warp& a, const Warp& b) {
    Warp both = b.beyond == Beyond::nothing ? a : b;
    both.matrix = b.matrix * a.matrix;
    both.size = b.size;
    return both;
  }

  std::vector<Step> steps_;
};

}  // namespace thaw::vision
