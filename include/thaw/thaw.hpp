#pragma once

// All of thaw::thaw. Reading weight files is thaw::io's: include <thaw/weights/load.hpp>.
#include <thaw/core/error.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/find/lr_finder.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/groups/rates.hpp>
#include <thaw/optim/adamw.hpp>
#include <thaw/report/console.hpp>
#include <thaw/report/lr_plot.hpp>
#include <thaw/report/run_plot.hpp>
#include <thaw/report/svg.hpp>
#include <thaw/report/table.hpp>
#include <thaw/report/terminal.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/metric_auroc.hpp>
#include <thaw/train/metric_f_beta.hpp>
#include <thaw/train/metric_multi_label.hpp>
#include <thaw/train/metric_perplexity.hpp>
#include <thaw/train/metric_regression.hpp>
#include <thaw/train/metric_segmentation.hpp>
#include <thaw/train/metric_total.hpp>
