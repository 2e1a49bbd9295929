// SPDX-License-Identifier: BSD-3-Clause
// The files that save_weights writes are those that Python has opened, byte for byte: of tests/fixtures/written, which
// python_test.cpp has passed, for machines without Python. `test_weights "[.write]"` writes them anew.

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/zip_archive.hpp>
#include <thaw/weights/read_weights.hpp>
#include <thaw/weights/save.hpp>
#include <vector>

#include "files.hpp"
#include "samples.hpp"

namespace {

const std::filesystem::path written = thaw::test::fixture("written");

void write_to(const std::filesystem::path& folder) {
  thaw::save_weights(thaw::test::sample_state(false), folder / "sample.pth");
  thaw::save_weights(thaw::test::sample_state(true), folder / "sample.safetensors", {.metadata = {{"epoch", "12"}}});
}

}  // namespace

TEST_CASE("A .safetensors is written as the one that Python has opened") {
  const thaw::test::Folder folder;
  write_to(folder.path);
  CHECK(thaw::test::bytes_of(folder / "sample.safetensors") == thaw::test::bytes_of(written / "sample.safetensors"));
}

TEST_CASE("A .pth has the records of the one that Python has opened") {  // the rest of a zip is its writer's own
  const thaw::test::Folder folder;
  write_to(folder.path);
  const auto ours = thaw::detail::map_file(folder / "sample.pth"),
             theirs = thaw::detail::map_file(written / "sample.pth");
  const thaw::detail::ZipArchive a(ours), b(theirs);
  CHECK(a.read("data.pkl") == b.read("data.pkl"));
  CHECK(a.read("byteorder") == b.read("byteorder"));
  CHECK(a.has("version"));
  for (int i = 0; b.has("data/" + std::to_string(i)); ++i) {
    const std::string record = "data/" + std::to_string(i);
    CHECK(a.read(record) == b.read(record));
    CHECK((a.read(record).data() - ours.bytes.data()) % 64 == 0);  // as torch.save aligns them
  }
}

TEST_CASE("write the files of tests/fixtures/written", "[.write]") {
  std::filesystem::create_directories(written);
  write_to(written);
}
