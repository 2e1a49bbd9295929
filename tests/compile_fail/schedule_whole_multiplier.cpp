// SPDX-License-Identifier: BSD-3-Clause
// expect: a schedule takes and returns floating-point numbers
#include <thaw/schedule/schedule.hpp>

thaw::AnySchedule schedule = [](const thaw::Progress& at) { return at.step / at.steps; };
