#pragma once

#include <cctype>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>

namespace thaw {

/// Which number is which class: the one place that decides it, for folders, tables and texts. Classes that are not
/// given are numbered in the order of their names.
class ClassNumbers {
 public:
  /// Throws ConfigError for a class that is given twice.
  ClassNumbers(std::vector<std::string> given, const std::set<std::string>& occurring) : classes_(std::move(given)) {
    if (classes_.empty()) classes_.assign(occurring.begin(), occurring.end());
    for (std::size_t i = 0; i < classes_.size(); ++i)
      if (!number_of_.emplace(classes_[i], static_cast<std::int64_t>(i)).second)
        throw ConfigError("classes", "\"" + classes_[i] + "\" is there twice", "name each class once");
  }

  [[nodiscard]] const std::vector<std::string>& classes() const { return classes_; }

  /// Throws DataError for a name that is no class's: "<where>: <what> "dog" is none of cat, dogs". Without a `fix`, the
  /// error offers the name that is nearest.
  [[nodiscard]] std::int64_t of(const std::string& name, const std::string& where, const std::string& what,
                                const std::string& fix = {}) const {
    if (const auto found = number_of_.find(name); found != number_of_.end()) return found->second;
    const std::string nearest = nearest_name(name, classes_);
    throw DataError(where, what + " \"" + name + "\" is none of " + join_names(classes_),
                    !fix.empty()      ? fix
                    : nearest.empty() ? "name its class"
                                      : "did you mean \"" + nearest + "\"?");
  }

 private:
  std::vector<std::string> classes_;
  std::map<std::string, std::int64_t> number_of_;
};

/// "train", "valid" or "test" for a name that a part of a data set usually has, in any case; otherwise empty.
[[nodiscard]] inline std::string part_called(std::string name) {
  static const std::map<std::string, std::string> parts{
      {"train", "train"}, {"training", "train"}, {"valid", "valid"},     {"val", "valid"},
      {"test", "test"},   {"testing", "test"},   {"validation", "valid"}};
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const auto found = parts.find(name);
  return found == parts.end() ? std::string() : found->second;
}

/// Throws DataError where the folders that would be classes are the parts of a data set: all of them are called so, or
/// one is train/ and another valid/ or test/.
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
}

}  // namespace thaw
