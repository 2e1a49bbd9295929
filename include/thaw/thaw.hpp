#pragma once

// All of thaw::thaw. Reading weight files is thaw::io's: include <thaw/weights/load.hpp>.
// TorchScript's headers are heavy: networks from Python need <thaw/groups/script_module.hpp>.
#include <thaw/core/error.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/find/lr_finder.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/freeze_combine.hpp>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/groups/lr_scheduler.hpp>
#include <thaw/groups/rates.hpp>
#include <thaw/groups/regex.hpp>
#include <thaw/optim/adamw.hpp>
#include <thaw/report/console.hpp>
#include <thaw/report/groups_table.hpp>
#include <thaw/report/lr_plot.hpp>
#include <thaw/report/run_plot.hpp>
#include <thaw/report/svg.hpp>
#include <thaw/report/table.hpp>
#include <thaw/report/terminal.hpp>
#include <thaw/schedule/chain.hpp>
#include <thaw/schedule/cosine.hpp>
#include <thaw/schedule/decay.hpp>
#include <thaw/schedule/flat_cosine.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/schedule/repeat.hpp>
#include <thaw/schedule/slanted_triangular.hpp>
#include <thaw/schedule/step_decay.hpp>
#include <thaw/schedule/warm_up.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>
