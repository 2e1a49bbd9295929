// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/module_ref.hpp>

#include <catch2/catch_test_macros.hpp>

#include "support/nets.hpp"

using thaw::ModuleRef;

TEST_CASE("a module ref is made from holders and shared pointers, and refers to the same module") {
  thaw::test::TinyNet net;
  const std::vector<ModuleRef> refs{net, net->stem, net->head, net->head.ptr(), net->stem[0]};
  CHECK(refs[0].ptr() == net.ptr());
  CHECK(refs[2].ptr() == refs[3].ptr());
  CHECK(refs[4].ptr()->name() == "torch::nn::LinearImpl");
  STATIC_CHECK_FALSE(std::is_convertible_v<int, ModuleRef>);
  STATIC_CHECK_FALSE(std::is_convertible_v<std::vector<ModuleRef>, ModuleRef>);
}
