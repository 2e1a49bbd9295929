// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>

namespace thaw {

namespace detail {

/// A name in small letters, with one space for each gap, no-break spaces among them, and none of width 0.
[[nodiscard]] inline std::string loosely_spelled(const std::string& name) {
  constexpr std::string_view no_break = "\xC2\xA0";
  std::string key;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name.compare(i, 3, "\xE2\x80\x8B") == 0 || name.compare(i, 3, "\xEF\xBB\xBF") == 0) {
      i += 2;
      continue;
    }
    const bool wide = name.compare(i, no_break.size(), no_break) == 0;
    const auto c = static_cast<unsigned char>(wide ? ' ' : name[i]);
    i += wide ? 1 : 0;
    if (!std::isspace(c))
      key += static_cast<char>(c);
    else if (!key.empty() && key.back() != ' ')
      key += ' ';
  }
  if (key.ends_with(' ')) key.pop_back();
  return lower_case(std::move(key));
}

/// Of "1", "01", "+1" and "1.0" the same; empty for what is no number in digits.
[[nodiscard]] inline std::string same_number(std::string text) {
  const std::size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  if (text.find_first_not_of("0123456789.", sign) != text.npos || std::ranges::count(text, '.') > 1 ||
      text.find_first_of("0123456789") == text.npos)
    return {};
  if (const std::size_t point = text.find('.'); point != text.npos)
    text.erase(std::max(point, text.find_last_not_of("0.") + 1));
  const std::size_t first = std::min(text.find_first_not_of("+-0"), text.size());
  return (text.starts_with('-') ? "-" : "+") + text.substr(first);
}

}  // namespace detail

/// Which number is which class: the one place that decides it, for folders, tables and texts. Classes that are not
/// given are numbered in the order of their names.
class ClassNumbers {
 public:
  /// Throws ConfigError for a class that is given twice; DataError, at `where`, for two of those that occur and are not
  /// given, if their names are spellings of one: "Cat" and "cat", "golden  retriever" and "golden retriever", "1" and
  /// "1.0".
  ClassNumbers(std::vector<std::string> given, std::set<std::string> occurring, const std::string& where = "classes")
      : classes_(std::move(given)) {
    if (classes_.empty()) {
      occurring.erase("");  // `of` says where it is
      refuse_twins(occurring, where);
      classes_.assign(occurring.begin(), occurring.end());
    }
    for (std::size_t i = 0; i < classes_.size(); ++i)
      if (!number_of_.emplace(classes_[i], static_cast<std::int64_t>(i)).second)
        throw ConfigError("classes", "\"" + classes_[i] + "\" is there twice", "name each class once");
  }

  [[nodiscard]] const std::vector<std::string>& classes() const { return classes_; }

  /// Throws DataError for an empty name, and one that is no class's: "<where>: <what> "dog" is none of cat, dogs".
  /// Without a `fix`, the error offers the name that is nearest.
  [[nodiscard]] std::int64_t of(const std::string& name, const std::string& where, const std::string& what,
                                const std::string& fix = {}) const {
    if (const auto found = number_of_.find(name); found != number_of_.end()) return found->second;
    if (name.empty()) throw DataError(where, what + " is empty", "name its class, or leave it out");
    const std::string nearest = nearest_name(name, classes_);
    throw DataError(where, what + " \"" + name + "\" is none of " + join_names(classes_),
                    !fix.empty()      ? fix
                    : nearest.empty() ? "name its class"
                                      : "did you mean \"" + nearest + "\"?");
  }

 private:
  static void refuse_twins(const std::set<std::string>& names, const std::string& where) {
    std::map<std::string, std::string> spelled;
    for (const std::string& name : names) {
      const std::string number = detail::same_number(name), loose = detail::loosely_spelled(name);
      const auto [other, is_new] = spelled.emplace(number.empty() ? loose : number, name);
      if (is_new) continue;
      const bool in_case = lower_case(name) == lower_case(other->second);
      throw DataError(where,
                      "\"" + other->second + "\" and \"" + name + "\" " +
                          (!number.empty() ? "are one number"
                           : in_case       ? "differ in case alone"
                                           : "differ in spaces or case alone"),
                      "write a class's name in one way, or move its files into one folder; if they are two classes, "
                      "name all classes");
    }
  }

  std::vector<std::string> classes_;
  std::map<std::string, std::int64_t> number_of_;
};

/// "train", "valid" or "test" for a name that a part of a data set usually has, in any case, also as "train_set";
/// otherwise empty.
[[nodiscard]] inline std::string part_called(std::string name) {
  static const std::map<std::string, std::string> parts{
      {"train", "train"}, {"training", "train"}, {"valid", "valid"}, {"val", "valid"},   {"validation", "valid"},
      {"dev", "valid"},   {"eval", "valid"},     {"test", "test"},   {"testing", "test"}};
  name = lower_case(std::move(name));
  if (name.ends_with("set")) name.resize(name.size() - 3 - (name.ends_with("_set") || name.ends_with("-set") ? 1 : 0));
  const auto found = parts.find(name);
  return found == parts.end() ? std::string() : found->second;
}

/// Throws DataError where the folders that would be classes are the parts of a data set: all of them are called so, or
/// one is train/ and another valid/ or test/; or they are images/ and masks/.
inline void refuse_parts_as_classes(const std::string& where, std::span<const std::string> folders,
                                    const std::string& fix) {
  std::set<std::string> parts;
  std::vector<std::string> names;
  for (const std::string& folder : folders)
    if (const std::string part = part_called(folder); !part.empty()) {
      parts.insert(part);
      names.push_back(folder + "/");
    }
  if (!names.empty() && (names.size() == folders.size() || (parts.contains("train") && parts.size() > 1)))
    throw DataError(where, "has " + join_names(names) + ": parts of a data set, which are no classes", fix);
  static const std::set<std::string> images{"images", "image", "imgs", "img", "jpegimages"},
      masks{"masks", "mask", "labels", "label", "annotations", "segmentationclass"};
  const auto one_of = [&](const std::set<std::string>& known) {
    return std::ranges::count_if(folders, [&](const std::string& each) { return known.contains(lower_case(each)); });
  };
  if (folders.size() == 2 && one_of(images) == 1 && one_of(masks) == 1)
    throw DataError(where, "has " + join_names(folders) + ": images and what is drawn on them, which are no classes",
                    "take mask_data, or name the classes");
}

}  // namespace thaw
