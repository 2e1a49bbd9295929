// SPDX-License-Identifier: BSD-3-Clause
// expect: thaw: a freeze policy must be callable as
#include <thaw/groups/freeze_policy.hpp>

thaw::AnyFreezePolicy policy = [](int group) { return group == 0; };
