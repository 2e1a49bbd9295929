// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// What `resume` found.
struct ResumeReport {
  std::filesystem::path from = {};            ///< the checkpoint; empty where there was none, and the run begins
  std::vector<std::string> passed_over = {};  ///< newer ones that are damaged, and how

  explicit operator bool() const { return !from.empty(); }
};

/// Goes on with the run whose checkpoints lie in a folder, from the newest one that is whole; where there is none, it
/// changes nothing, so that a program may always begin with it:
///
///     thaw::Learner learner{model, groups, loss, options};
///     thaw::resume(learner, "runs/a");
///     learner.fit(plan, thaw::Checkpoint{"runs/a"});   // from where it was
///
/// See Learner::resume for what is made again and what is not. `path` may also name one file, best.safetensors say.
/// Of several processes the first reads, and tells the others. Throws FileError if there are checkpoints and none is
/// whole, or one cannot be read, and what Learner::resume throws; then nothing has changed.
ResumeReport resume(Learner& learner, const std::filesystem::path& path, const ResumeOptions& options = {});

}  // namespace thaw

#if THAW_DEFINES(checkpoint)
#include <thaw/checkpoint/detail/folder.hpp>
#include <thaw/checkpoint/file.hpp>
#include <thaw/core/error.hpp>

namespace thaw::detail {

/// Reads the newest checkpoint of a folder that is whole, or that file.
inline ResumeReport newest_whole(const std::filesystem::path& path, RunState& state) {
  ResumeReport report;
  if (std::error_code none; std::filesystem::is_regular_file(path, none)) {
    state = read_checkpoint(path);
    report.from = path;
    return report;
  }
  std::vector<detail::NumberedFile> files = detail::checkpoints_in(path);
  std::ranges::reverse(files);  // the last is the best to go on from
  for (const detail::NumberedFile& file : files) {
    if (!detail::is_whole(file.path)) {
      report.passed_over.push_back(file.path.string() + ": is damaged");
      continue;
    }
    state = read_checkpoint(file.path);
    report.from = file.path;
    return report;
  }
  if (!report.passed_over.empty())
    throw FileError(path.string(), "none of its checkpoints is whole: " + join_names(report.passed_over),
                    "start anew in another folder");
  return report;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE ResumeReport resume(Learner& learner, const std::filesystem::path& path, const ResumeOptions& options) {
  const World& world = learner.world();
  ResumeReport report;
  RunState state;
  world.together([&] {
    if (world.is_rank_zero()) report = detail::newest_whole(path, state);
  });
  report.from = world.all_gather("in " + report.from.string())[0].substr(3);
  if (report) learner.resume(world.state_of(0, std::move(state)), options);
  return report;
}

}  // namespace thaw

#endif
