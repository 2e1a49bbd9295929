// SPDX-License-Identifier: BSD-3-Clause
// expect: a schedule takes and returns floating-point numbers
#include <thaw/schedule/schedule.hpp>

thaw::AnySchedule schedule = [](int step) { return 1.0 / (1 + step); };
