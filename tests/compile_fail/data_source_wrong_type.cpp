// SPDX-License-Identifier: BSD-3-Clause
// expect: thaw: a data source must be
#include <thaw/data/source.hpp>
#include <vector>

thaw::DataSource source = std::make_unique<std::vector<int>>();
