// SPDX-License-Identifier: BSD-3-Clause
// Images, and what looks into a model, on the device.
#include <thaw/vision/grad_cam.hpp>

#include <catch2/catch_test_macros.hpp>
#include <thaw/vision/first_layer_filters.hpp>
#include <thaw/vision/heat_map.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/normalization.hpp>
#include <thaw/vision/strongest_patches.hpp>
#include <thaw/vision/write_image.hpp>

#include "device/bench.hpp"
#include "support/folder.hpp"
#include "support/pictures.hpp"

using thaw::test::Bench;
using thaw::test::near;
using thaw::test::pictures;
using thaw::test::test_device;

TEST_CASE("batches of images lie in pinned memory, from which copies do not wait") {
  if (test_device().is_cpu()) SKIP("no device to copy to");
  const thaw::test::Folder folder;
  thaw::vision::write_image(thaw::test::picture(8, 8), folder / "0.png");
  const thaw::vision::ImageSource source(
      {.images = {.classes = {"a"}, .items = {{.path = folder / "0.png", .labels = {0}}}},
       .normalization = {{0, 0, 0}, {1, 1, 1}}});
  const thaw::Batch batch = *source.stream(0)();
  CHECK(batch.input[0].is_pinned());
  CHECK(batch.target[0].is_pinned());
}

TEST_CASE("Grad-CAM, strongest patches and filters look into a model on the device") {
  Bench here(at::kCPU), there(test_device());
  const thaw::InMemory source = pictures({.samples = 16, .seed = 3, .shuffle = false});
  const at::Tensor batch = source.stream(0)()->input[0];
  const auto expected = thaw::vision::grad_cam(here.net, batch), found = thaw::vision::grad_cam(there.net, batch);
  CHECK(near(found.maps, expected.maps));
  CHECK(found.classes.cpu().equal(expected.classes));
  CHECK(near(found.probabilities, expected.probabilities));
  const thaw::vision::Normalization statistics{{0, 0, 0}, {1, 1, 1}};
  (void)thaw::vision::heat_map(thaw::vision::to_image(batch[0].to(test_device()), statistics), found.maps[0]);

  const auto patches = thaw::vision::strongest_patches(there.net, source, {.part = "4"}),
             as_on_cpu = thaw::vision::strongest_patches(here.net, source, {.part = "4"});
  REQUIRE(patches.channels.size() == as_on_cpu.channels.size());
  for (std::size_t c = 0; c < patches.channels.size(); ++c)
    for (std::size_t i = 0; i < patches.channels[c].patches.size(); ++i) {
      CHECK(patches.channels[c].patches[i].sample == as_on_cpu.channels[c].patches[i].sample);
      CHECK(patches.channels[c].patches[i].box == as_on_cpu.channels[c].patches[i].box);
    }
  CHECK(thaw::vision::first_layer_filters(*there.net).size() == thaw::vision::first_layer_filters(*here.net).size());
}
