// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <thaw/vision/image_csv.hpp>
#include <thaw/vision/image_list.hpp>

namespace thaw::vision {

struct ImageDataOptions {
  double valid = 0.2;                     ///< fraction of each class to hold back, where there is no validation folder
  std::int64_t per_class = 0;             ///< images of each class to train on, drawn by the seed; 0: all there are
  std::uint64_t seed = 42;                ///< of what is drawn
  std::vector<std::string> classes = {};  ///< in their order; those that are trained on, sorted, if empty
  ImageCsvOptions csv = {};               ///< of a CSV file; its `folder` and `extension` are looked for if empty
};

/// What is trained on and what is held back. All lists have the same classes.
struct ImageData {
  ImageList train = {}, valid = {};
  ImageList test = {};  ///< the images of test/, where there is a validation folder besides; otherwise empty
  std::string how =
      {};  ///< what was found and what was chosen, in words: "200 images in train/, 500 in valid/, 2 classes"
};

/// Images of a data set as it lies on disk, with one list of classes for all parts. `path` is one of
///
/// - a folder with train/ and valid/ (or val/, validation/, dev/, eval/; or train_set/ and so on), with a folder for
///   each class in each; test/ is read, too. Without a validation folder, test/ is held back in its place; without
///   both, a part of train/ is.
/// - a folder with a folder for each class: of each class the fraction `valid` is held back.
/// - a CSV file, or a folder with a single one (see image_csv): likewise, or as its column is_valid or split says.
///
/// Names of parts may be written in any case. Hidden folders and __MACOSX are left out. What was found and chosen is in
/// ImageData::how. Throws FileError for what cannot be read; DataError, naming the folder, for a class without images,
/// one class only, a class in another part that is not trained on, two names that are spellings of one, images in no
/// class's folder, and fewer images of a class than `per_class`; ConfigError for a fraction that is not between 0
/// and 1.
/// Example: `const auto [train, valid, test, how] = image_data("flowers");`
[[nodiscard]] ImageData image_data(const std::filesystem::path& path, const ImageDataOptions& options = {});

}  // namespace thaw::vision

#include <thaw/vision/detail/image_data_reader.hpp>
