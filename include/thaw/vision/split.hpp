// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/data/text_file.hpp>
#include <thaw/vision/image_list.hpp>
#include <thaw/vision/random.hpp>

namespace thaw::vision {

/// What is trained on and what is held back.
struct Split {
  ImageList train, valid;
};

/// The images for which `held_back(item)` holds are for validation. Both sides know all classes. Throws DataError where
/// one side would be empty.
[[nodiscard]] inline Split split_by(ImageList images, const std::function<bool(const ImageItem&)>& held_back) {
  Split split{.train = {.classes = images.classes}, .valid = {.classes = images.classes}};
  for (ImageItem& item : images.items) (held_back(item) ? split.valid : split.train).items.push_back(std::move(item));
  if (split.train.items.empty() || split.valid.items.empty())
    throw DataError("split", split.valid.items.empty() ? "nothing is held back" : "all images are held back",
                    "hold back some of " + std::to_string(images.items.size()) + ", not all");
  return split;
}

/// Those whose file name (`a/b.jpg` is found by `b.jpg`, by `a/b.jpg`, and by `b`) is on a line of the list are held
/// back. Throws FileError for a list that cannot be read, DataError for a line that is no image's,
/// and what is no UTF-8.
[[nodiscard]] inline Split split_by_list(const ImageList& images, const std::filesystem::path& list) {
  std::istringstream file(read_text(list, "name a file with an image's name on each line"));
  std::map<std::string, bool> held_back;  // and whether an image has that name
  for (std::string line; std::getline(file, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) held_back.emplace(line, false);
  }
  Split split = split_by(images, [&](const ImageItem& item) {
    std::filesystem::path name = item.path.filename();
    bool found = false;
    const auto look = [&](const std::filesystem::path& each) {
      if (const auto at = held_back.find(each.generic_string()); at != held_back.end()) found = at->second = true;
    };
    look(name.stem());
    look(name);
    for (std::filesystem::path rest = item.path.parent_path(); rest.has_filename(); rest = rest.parent_path())
      look(name = rest.filename() / name);
    return found;
  });
  for (const auto& [name, seen] : held_back)
    if (!seen)
      throw DataError(list.string(), "\"" + name + "\" is no image's name", "write names as they stand in the folder");
  return split;
}

namespace detail {

/// Fisher and Yates, from a generator of ours: the same on every machine.
inline void shuffle(std::vector<std::size_t>& order, Random& random) {
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i)))]);
}

/// The images' numbers by class, each class in random order.
inline std::map<std::vector<std::int64_t>, std::vector<std::size_t>> shuffled_classes(const ImageList& images,
                                                                                      std::uint64_t seed) {
  std::map<std::vector<std::int64_t>, std::vector<std::size_t>> by_class;
  for (std::size_t i = 0; i < images.items.size(); ++i) by_class[images.items[i].labels].push_back(i);
  Random random(seed);
  for (auto& [labels, items] : by_class) shuffle(items, random);
  return by_class;
}

inline Split split_numbers(const ImageList& images, const std::set<std::size_t>& held_back) {
  return split_by(images, [&, i = std::size_t{0}](const ImageItem&) mutable { return held_back.contains(i++); });
}

inline void check_fraction(double valid) {
  if (!(valid > 0 && valid < 1))
    throw ConfigError("split", "the fraction to hold back is " + thaw::detail::number(valid),
                      "give one between 0 and 1");
}

}  // namespace detail

/// Holds back a fraction, drawn at random by the seed. Throws ConfigError for a fraction that is not between 0 and 1,
/// DataError where one side would be empty.
[[nodiscard]] inline Split random_split(const ImageList& images, double valid = 0.2, std::uint64_t seed = 42) {
  detail::check_fraction(valid);
  std::vector<std::size_t> order(images.items.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  Random random(seed);
  detail::shuffle(order, random);
  order.resize(static_cast<std::size_t>(std::llround(valid * static_cast<double>(order.size()))));
  return detail::split_numbers(images, {order.begin(), order.end()});
}

/// The same, of each class (each combination of labels) its fraction, rounded; of a class with two images or more, at
/// least one on each side.
[[nodiscard]] inline Split stratified_split(const ImageList& images, double valid = 0.2, std::uint64_t seed = 42) {
  detail::check_fraction(valid);
  std::set<std::size_t> held_back;
  for (const auto& [labels, items] : detail::shuffled_classes(images, seed)) {
    const std::int64_t n = std::ssize(items), most = std::max<std::int64_t>(n - 1, 0);
    const std::int64_t share = std::llround(valid * static_cast<double>(n));
    held_back.insert(items.begin(),
                     items.begin() + std::clamp<std::int64_t>(share, std::min<std::int64_t>(1, most), most));
  }
  return detail::split_numbers(images, held_back);
}

/// So many of each class to train on, drawn at random by the seed; all others are held back. Throws DataError for a
/// class that has no more than that.
[[nodiscard]] inline Split split_per_class(const ImageList& images, std::int64_t train, std::uint64_t seed = 42) {
  std::set<std::size_t> held_back;
  for (const auto& [labels, items] : detail::shuffled_classes(images, seed)) {
    if (train < 1 || std::ssize(items) <= train)
      throw DataError("split_per_class",
                      std::to_string(train) + " of " + std::to_string(items.size()) + " images of " +
                          (labels.empty() ? "no class" : images.classes.at(static_cast<std::size_t>(labels[0]))),
                      "train on at least one of each class, and on fewer than there are");
    held_back.insert(items.begin() + train, items.end());
  }
  return detail::split_numbers(images, held_back);
}

}  // namespace thaw::vision
