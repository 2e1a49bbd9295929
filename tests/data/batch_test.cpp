#include <thaw/data/batch.hpp>

#include <torch/data/example.h>

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>

TEST_CASE("batches of every usual form give their two tensors") {
  const at::Tensor x = at::ones({2, 3}), y = at::zeros({2});
  const auto check = [&](const auto& like) {
    const thaw::Batch batch = thaw::to_batch(like);
    CHECK(batch.input[0].is_same(x));
    CHECK(batch.target[0].is_same(y));
    CHECK(batch.size() == 2);
  };
  check(thaw::Batch{x, y});
  check(torch::data::Example<>{x, y});
  check(std::pair{x, y});
  check(std::tuple{x, y});
}

TEST_CASE("what is no batch is told apart") {
  STATIC_CHECK(thaw::BatchLike<thaw::Batch>);
  STATIC_CHECK(thaw::BatchLike<std::pair<at::Tensor, at::Tensor>>);
  STATIC_CHECK_FALSE(thaw::BatchLike<at::Tensor>);
  STATIC_CHECK_FALSE(thaw::BatchLike<std::pair<int, std::string>>);
}
