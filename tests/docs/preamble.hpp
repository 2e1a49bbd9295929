// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the code in README.md and docs/ takes for granted: most of thaw, and the names below, which nothing
// defines. A page may have others of its own: see tools/snippets.py.
#include <fmt/format.h>
#include <opencv2/core.hpp>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <thaw/checkpoint/checkpoint.hpp>
#include <thaw/models/adapt_first_convolution.hpp>
#include <thaw/models/bert.hpp>
#include <thaw/models/convnext.hpp>
#include <thaw/models/deit.hpp>
#include <thaw/models/efficientnet.hpp>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/models/make.hpp>
#include <thaw/models/mobilenet_v2.hpp>
#include <thaw/models/mobilenet_v3.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/models/unet.hpp>
#include <thaw/models/vit.hpp>
#include <thaw/recipe/folds.hpp>
#include <thaw/recipe/recipe_text.hpp>
#include <thaw/recipe/run_plan.hpp>
#include <thaw/text/labelled_texts.hpp>
#include <thaw/text/text_source.hpp>
#include <thaw/text/word_piece.hpp>
#include <thaw/thaw.hpp>
#include <thaw/train/compiled_prefix.hpp>
#include <thaw/train/label_thresholds.hpp>
#include <thaw/train/loss_dice.hpp>
#include <thaw/train/nan_guard.hpp>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/classifier.hpp>
#include <thaw/vision/contact_sheet.hpp>
#include <thaw/vision/export_info.hpp>
#include <thaw/vision/first_layer_filters.hpp>
#include <thaw/vision/grad_cam.hpp>
#include <thaw/vision/image_csv.hpp>
#include <thaw/vision/image_data.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/loss_tiles.hpp>
#include <thaw/vision/mask_data.hpp>
#include <thaw/vision/overlay.hpp>
#include <thaw/vision/patch_sheet.hpp>
#include <thaw/vision/predict.hpp>
#include <thaw/vision/random_erasing.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/show.hpp>
#include <thaw/vision/split.hpp>
#include <thaw/vision/strongest_patches.hpp>
#include <thaw/vision/write_image.hpp>
#include <thaw/weights/export.hpp>
#include <thaw/weights/export_script.hpp>
#include <thaw/weights/load.hpp>
#include <thaw/weights/save.hpp>

namespace docs {

extern thaw::models::ResNet model;
extern thaw::LayerGroups groups;
extern thaw::CrossEntropy loss;
extern thaw::DataSource train, valid;
extern thaw::LearnerOptions options;
extern thaw::Learner learner;
extern thaw::Stage stage;
extern std::vector<thaw::Stage> plan;
extern std::vector<std::string> names;

// Options that a piece of code gives fields of, as `.epochs = 3`.
void takes(const thaw::Stage&);
void takes(const thaw::LearnerOptions&);
void takes(const thaw::vision::ImageSourceOptions&);

}  // namespace docs
