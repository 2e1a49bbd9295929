// SPDX-License-Identifier: BSD-3-Clause
// expect: thaw: a schedule must be callable as
#include <string>
#include <thaw/schedule/schedule.hpp>

thaw::AnySchedule schedule = [](const std::string&) { return 1.0; };
