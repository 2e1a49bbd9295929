// SPDX-License-Identifier: BSD-3-Clause
// Weight files come from strangers: whatever is in them, the readers load it or throw thaw::Error. Run under
// ASan/UBSan.

#include <ATen/Functions.h>
#include <caffe2/serialize/inline_container.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thaw/weights/detail/pickle_writer.hpp>
#include <thaw/weights/read_weights.hpp>
#include <utility>
#include <vector>

#include "files.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::detail::PickleWriter;

namespace {

/// Reads all elements too: a view beyond its storage would be seen by the sanitizer. Tensors lie in the bytes, as they
/// do in a mapped file.
bool loads(std::string_view bytes) {
  const auto owner = std::make_shared<const std::string>(bytes);
  try {
    for (const auto& [name, tensor] : thaw::detail::read_weights({"memory", *owner, owner})) {
      constexpr std::int64_t most = 1 << 20;  // expanded tensors may claim any number of elements
      if (tensor.numel() < most) (void)tensor.clone(at::MemoryFormat::Contiguous);
    }
    return true;
  } catch (const thaw::Error&) {
    return false;
  }
}

std::string complaint_about(std::string_view bytes) {
  return thaw::test::complaint([&] { (void)thaw::test::parse(bytes); });
}

using Records = std::vector<std::pair<std::string, std::string>>;

std::string zip(const Records& records) {
  std::string bytes;
  caffe2::serialize::PyTorchStreamWriter archive([&](const void* data, std::size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return size;
  });
  for (const auto& [name, content] : records) archive.writeRecord(name, content.data(), content.size());
  archive.writeEndOfFile();
  return bytes;
}

/// A .pth of one pickle and a storage of six floats.
std::string pth(std::string pickle) {
  return zip({{"data.pkl", std::move(pickle)}, {"data/0", std::string(24, '\0')}});
}

struct Described {
  std::int64_t elements = 6, offset = 0;
  std::vector<std::int64_t> sizes = {2, 3}, strides = {3, 1};
  std::string type = "torch.FloatStorage", key = "0", name = "w";
};

/// The name and the description of a tensor, for a dict.
PickleWriter& put(PickleWriter& pickle, const Described& tensor) {
  pickle.text(tensor.name).global("torch._utils._rebuild_tensor_v2").op('(').op('(').text("storage");
  pickle.global(tensor.type).text(tensor.key).text("cpu").number(tensor.elements).op('t').op('Q');
  pickle.number(tensor.offset).tuple(tensor.sizes).tuple(tensor.strides).op('\x89').ordered_dict();
  return pickle.op('t').op('R');
}

/// Such a dict's pickle.
std::string dict_of(const std::vector<Described>& tensors) {
  PickleWriter pickle;
  pickle.op('}').op('(');
  for (const Described& each : tensors) put(pickle, each);
  return std::move(pickle.op('u')).finish();
}

/// The bytes with a number in place of what is `offset` bytes after the last `mark`.
template <class Number>
std::string with_number(std::string bytes, std::string_view mark, std::size_t offset, Number number) {
  const std::size_t at = bytes.rfind(mark);
  REQUIRE(at != std::string::npos);
  std::memcpy(bytes.data() + (at + offset), &number, sizeof number);
  return bytes;
}

/// A TorchScript archive of one pickle and a storage of six floats.
std::string script(PickleWriter pickle) {
  return zip({{"data.pkl", std::move(pickle).finish()}, {"constants.pkl", ""}, {"data/0", std::string(24, '\0')}});
}

/// The most memory that this process has had, in MB; 0 where the system does not say.
std::size_t peak_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::size_t kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes / 1000;
  }
  return 0;
}

const std::vector<std::string>& samples() {
  static const std::vector<std::string> names = {
      "ordered_dict.pth",  "ordered_dict.legacy.pth", "views.pth",       "views.legacy.pth", "shapes.pth",
      "dtypes.legacy.pth", "nested_model.legacy.pth", "net.safetensors", "protocol4.pth",    "torchscript.pt"};
  return names;
}

}  // namespace

TEST_CASE("A file cut anywhere is an error") {
  for (const auto& name : {"ordered_dict.pth", "ordered_dict.legacy.pth", "net.safetensors", "torchscript.pt"}) {
    INFO(name);
    const std::string whole = thaw::test::bytes_of(thaw::test::weights(name));
    REQUIRE(loads(whole));
    std::size_t survived = 0;
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const std::string cut = whole.substr(0, size);  // its own buffer, so that reading on would be seen
      survived += loads(cut) ? 1 : 0;
    }
    CHECK(survived == 0);
  }
}

TEST_CASE("Records that overlap cannot multiply a file's size") {
  const std::string message =
      thaw::test::complaint([] { (void)thaw::read_weights(thaw::test::weights("overlap.pth")); });
  CHECK(message.find("its records overlap") != std::string::npos);
}

TEST_CASE("Records that overlap in part are seen") {
  const std::string two = zip({{"data.pkl", dict_of({{}, {.key = "1", .name = "v"}})},
                               {"data/0", std::string(24, '\0')},
                               {"data/1", std::string(24, '\0')}});
  REQUIRE(loads(two));
  // data/1's entry in the directory, made to begin at data/0's header
  const std::size_t entry = two.rfind("archive/data/1") - 46, other = two.rfind("archive/data/0") - 46;
  std::string overlapping = two;
  std::memcpy(overlapping.data() + entry + 42, two.data() + other + 42, 4);
  CHECK_THAT(complaint_about(overlapping), ContainsSubstring("its records overlap"));
}

TEST_CASE("Tensors that no storage can hold are errors, not allocations") {
  constexpr std::int64_t huge = INT64_MAX;
  CHECK(complaint_about(pth(dict_of({{}}))).empty());
  const std::vector<std::pair<Described, std::string>> cases = {
      {{.sizes = {2, 4}, .strides = {4, 1}}, "reaches beyond storage '0'"},
      {{.offset = 1}, "reaches beyond storage '0'"},
      {{.strides = {4, 1}}, "reaches beyond storage '0'"},
      {{.sizes = {huge}, .strides = {0}}, "larger than any memory"},
      {{.sizes = {huge, huge}, .strides = {0, 0}}, "larger than any memory"},
      {{.sizes = {2}, .strides = {huge}}, "larger than any memory"},
      {{.offset = huge}, "larger than any memory"},
      {{.elements = huge}, "larger than any memory"},
      {{.sizes = {-1, 3}}, "in a way that PyTorch never writes"},
      {{.strides = {-3, 1}}, "in a way that PyTorch never writes"},
      {{.elements = -6}, "in a way that PyTorch never writes"},
      {{.offset = -1}, "in a way that PyTorch never writes"},
      {{.sizes = {2}}, "more sizes than strides, or fewer"},
      {{.sizes = std::vector<std::int64_t>(65, 1), .strides = std::vector<std::int64_t>(65, 1)}, "never writes"},
      {{.elements = 5}, "storage '0' has 24 bytes, not 20"},
      {{.key = "1"}, "record 'data/1' is missing"},
      {{.key = "../../etc/passwd"}, "record 'data/../../etc/passwd' is missing"},
      {{.type = "torch.float32"}, "in a way that PyTorch never writes"},
      {{.type = "torch.Float99Storage"}, "'torch.Float99Storage'"},
      {{.name = "caf\xe9"}, "a tensor's name is no UTF-8"},
      {{.name = "\xed\xa0\x80"}, "a tensor's name is no UTF-8"},
      {{.name = std::string(1'000'000, 'x')}, "a tensor's name is no text, or too long"}};
  for (const auto& [tensor, text] : cases) {
    INFO(text);
    CHECK_THAT(complaint_about(pth(dict_of({tensor}))), ContainsSubstring(text));
  }
  CHECK_THAT(complaint_about(pth(dict_of({{}, {}}))), ContainsSubstring("tensor 'w' is there twice"));
}

TEST_CASE("Pickles that hold themselves end") {
  PickleWriter self;  // d = {"w": tensor}; d["d"] = d
  put(self.op('}').op('q').op('\1'), {}).op('s').text("d").op('h').op('\1').op('s');
  CHECK(complaint_about(pth(std::move(self).finish())).empty());  // the dict is there once

  const auto module = [](PickleWriter& pickle) -> PickleWriter& {
    return pickle.global("__torch__.Net").op(')').op('\x81').op('q').op('\1').op('}').op('(');
  };
  PickleWriter cycle;  // m.self = m
  module(cycle).text("self").op('h').op('\1').op('u').op('b');
  CHECK_THAT(complaint_about(script(std::move(cycle))), ContainsSubstring("its modules hold each other without end"));

  PickleWriter twins;  // 2^40 names: each module holds the one before twice
  module(twins).op('u').op('b').op('q').op('\2');
  for (int i = 0; i < 40; ++i) {
    twins.global("__torch__.Net")
        .op(')')
        .op('\x81')
        .op('}')
        .op('(')
        .text("a")
        .op('h')
        .op('\2')
        .text("b")
        .op('h')
        .op('\2');
    twins.op('u').op('b').op('q').op('\2');
  }
  CHECK_THAT(complaint_about(script(std::move(twins))), ContainsSubstring("its modules hold each other without end"));

  PickleWriter none;
  none.op('}');
  CHECK_THAT(complaint_about(script(std::move(none))), ContainsSubstring("its TorchScript program holds no module"));
}

TEST_CASE("Names that a pickle remembers are two bytes in the file, and no more than that many in memory") {
  constexpr int times = 400'000;  // of 1 KB each: 400 MB, were they copied
  const std::string name(1024, 'x');
  const auto remember = [&](PickleWriter& pickle) -> PickleWriter& {
    put(pickle.text(name).op('q').op('\1').op('0'), {}).op('q').op('\2').op('0').op('0');
    return pickle;
  };
  const auto repeat = [](PickleWriter& pickle) -> PickleWriter& {
    for (int i = 0; i < times; ++i) pickle.op('h').op('\1').op('h').op('\2');
    return pickle;
  };
  const auto grows = [](const std::string& bytes, const std::string& text) {
    INFO(text);
    const std::size_t before = peak_megabytes();
    CHECK_THAT(complaint_about(bytes), ContainsSubstring(text));
    CHECK(peak_megabytes() - before < 250);
  };

  PickleWriter tensors;
  repeat(remember(tensors).op('}').op('(')).op('u');
  grows(pth(std::move(tensors).finish()), "is there twice");

  PickleWriter dicts;
  remember(dicts).op('}').op('(');
  for (int i = 0; i < times; ++i) dicts.op('h').op('\1').op('}');
  dicts.op('u');
  grows(pth(std::move(dicts).finish()), "holds no dict of named tensors");

  PickleWriter modules;
  remember(modules).global("__torch__.Net").op(')').op('\x81').op('}').op('(');
  repeat(modules).op('u').op('b');
  grows(script(std::move(modules)), "the names of its tensors take more than 64 MB");
}

TEST_CASE("Zip directories that lie are errors") {
  const std::string good = pth(dict_of({{}}));
  const std::string_view entry = "archive/data/0";  // of the directory: it stands 46 bytes into its entry
  const auto back = [](int bytes) { return static_cast<std::size_t>(-bytes); };
  REQUIRE(loads(good));
  for (const auto& [damaged, text] : std::vector<std::pair<std::string, std::string>>{
           {with_number<std::uint32_t>(good, entry, back(22), 0xfffffff0), "it ends too early"},  // size
           {with_number<std::uint32_t>(good, entry, back(22), 0xffffffff), "is damaged"},         // in zip64
           {with_number<std::uint32_t>(good, entry, back(4), 0xfffffff0), "it ends too early"},   // place
           {with_number<std::uint32_t>(good, entry, back(4), 1), "has no header"},                //
           {with_number<std::uint16_t>(good, entry, back(36), 8), "compressed, which"},           // method
           {with_number<std::uint16_t>(good, entry, back(38), 1), "compressed, which"},           // encrypted
           {with_number<std::uint16_t>(good, entry, back(18), 0xffff), "it ends too early"},      // name's length
           {with_number(good, "PK\6\6", 32, ~std::uint64_t{0}), "is damaged"},                    // more records
           {with_number(good, "PK\6\6", 48, ~std::uint64_t{0} - 7), "it ends too early"},         // its place
           {with_number<char>(good, entry, 13, '\xff'), "record 'data/0' is missing"},
           {good + std::string(70'000, '\0'), "its zip directory is missing"}}) {
    INFO(text);
    CHECK_THAT(complaint_about(damaged), ContainsSubstring(text));
  }
  std::string twice = zip({{"data.pkl", dict_of({{}})}, {"data/0", std::string(24, '\0')}, {"data/1", "1"}});
  for (std::size_t at = 0; (at = twice.find("archive/data/1", at)) != std::string::npos;) twice[at + 13] = '0';
  CHECK_THAT(complaint_about(twice), ContainsSubstring("record 'archive/data/0' is there twice"));
}

TEST_CASE("Sizes and places of 4 GB and more are read from where zip64 has them") {
  const std::string good =
      zip({{"data.pkl", dict_of({{}})}, {"data/0", std::string("\0\0\x80\x3f", 4) + std::string(20, '\0')}});
  const auto number = [](auto value) { return std::string(reinterpret_cast<const char*>(&value), sizeof value); };
  // the entry's numbers in its extra field, as if they were too long for 32 bits, after a field of another kind
  const auto longer = [&](std::uint16_t kept) {
    const std::size_t name = good.rfind("archive/data/0"), extra_size = name - 16, place = name - 4, end = name + 14;
    std::uint32_t header = 0;
    std::memcpy(&header, good.data() + place, sizeof header);
    const std::string fields = number(std::uint64_t{24}) + number(std::uint64_t{24}) + number(std::uint64_t{header});
    const std::string extra = number(std::uint16_t{2}) + number(std::uint16_t{2}) + "??" + number(std::uint16_t{1}) +
                              number(kept) + fields.substr(0, kept);
    std::string bytes = good;
    const auto put = [&](std::size_t at, const std::string& what) { bytes.replace(at, what.size(), what); };
    std::uint16_t before = 0;
    std::memcpy(&before, good.data() + extra_size, sizeof before);
    put(extra_size, number(static_cast<std::uint16_t>(before + extra.size())));
    for (const std::size_t at : {name - 26, name - 22, place}) put(at, number(~std::uint32_t{0}));
    bytes.insert(end, extra);
    const std::size_t locator = bytes.rfind("PK\6\7");
    std::uint64_t directory_end = 0;
    std::memcpy(&directory_end, bytes.data() + locator + 8, sizeof directory_end);
    put(locator + 8, number(directory_end + extra.size()));
    return bytes;
  };
  const auto first = [](const std::string& bytes) {
    const auto owner = std::make_shared<const std::string>(bytes);
    return thaw::detail::read_weights({"memory", *owner, owner}).at("w").flatten()[0].item<float>();
  };
  REQUIRE(first(good) == 1);
  CHECK(first(longer(24)) == 1);
  for (const int kept : {0, 8, 16, 23})
    CHECK_THAT(complaint_about(longer(static_cast<std::uint16_t>(kept))), ContainsSubstring("malformed"));
}

TEST_CASE("The format before 1.6: counts that lie are errors") {
  const std::string good = thaw::test::bytes_of(thaw::test::weights("ordered_dict.legacy.pth"));
  std::size_t last = 0;  // where the last storage says how many numbers it has
  for (const std::uint64_t numbers : {3, 6}) {
    const std::size_t at = good.size() - numbers * sizeof(float) - sizeof numbers;
    if (std::memcmp(good.data() + at, &numbers, sizeof numbers) == 0) last = at;
  }
  REQUIRE(last > 0);
  for (const std::uint64_t count : {std::uint64_t{2}, std::uint64_t{4}, ~std::uint64_t{0}, std::uint64_t{1} << 62}) {
    std::string damaged = good;
    std::memcpy(damaged.data() + last, &count, sizeof count);
    CHECK_THAT(complaint_about(damaged), ContainsSubstring("is damaged"));
  }
}

TEST_CASE("An index that lies is an error") {
  const auto failure = [](const std::string& text) {
    return thaw::test::complaint([&] { (void)thaw::detail::parse_index({"index.json", text}); });
  };
  const auto shard = [&](const std::string& file) { return failure(R"({"weight_map": {"a": )" + file + "}}"); };
  CHECK(shard(R"("model-00001-of-00002.safetensors")").empty());
  for (const std::string file :
       {R"("../secret.pth")", R"("/etc/passwd")", R"("a/../../b")", R"("..")", R"(".")", R"("")", R"("sub/a.pth")",
        R"("..\\a")", R"("a\u0000b")", R"("a\nb")", "7", "null", "[]"}) {
    INFO(file);
    CHECK_THAT(shard(file), ContainsSubstring("'a' is in") && ContainsSubstring("which is no file beside it"));
  }
  CHECK_THAT(shard(R"("../caf\u00e9")"), ContainsSubstring("'a' is in \"../caf\xc3\xa9\", which"));
  CHECK_THAT(shard("\"/" + std::string(1'000'000, 'x') + '"'),
             ContainsSubstring("\"/" + std::string(79, 'x') + "\", which"));
  CHECK(shard("\"/" + std::string(78, 'x') + "\u00e9\"").size() < 300);         // cut within a character
  CHECK_THAT(shard(std::string(1'000'000, '[') + std::string(1'000'000, ']')),  // not recursed into
             ContainsSubstring("'a' is in a JSON array, which"));
  CHECK_THAT(failure(R"({"weight_map": 7})"), ContainsSubstring("its weight_map is no JSON object"));
  CHECK_THAT(failure(R"({"weight_map": {"a": "x", "a": "y"}})"), ContainsSubstring("'a' is there twice"));
  CHECK_THAT(failure(R"({"weight_map": {"a": "x")"), ContainsSubstring("is no JSON"));
  CHECK_THAT(failure("{\"weight_map\": {\"caf\xe9\": \"x\"}}"), ContainsSubstring("is no JSON"));
}

TEST_CASE("A file with flipped bytes loads or is an error") {
  std::mt19937 random(20240607);
  for (const auto& name : samples()) {
    INFO(name);
    const std::string whole = thaw::test::bytes_of(thaw::test::weights(name));
    std::size_t loaded = 0;
    for (int round = 0; round < 1000; ++round) {
      std::string damaged = whole;
      const std::size_t flips = 1 + random() % 4;
      for (std::size_t i = 0; i < flips; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
      loaded += loads(damaged) ? 1 : 0;
    }
    CHECK(loaded < 1000);
  }
}

TEST_CASE("A file with bytes moved, doubled or left out loads or is an error") {
  std::mt19937 random(7);
  for (const auto& name : samples()) {
    INFO(name);
    const std::string whole = thaw::test::bytes_of(thaw::test::weights(name));
    for (int round = 0; round < 200; ++round) {
      std::string damaged = whole;
      const std::size_t from = random() % whole.size(), to = random() % whole.size(), count = random() % 64;
      const std::string piece = whole.substr(from, count);
      if (random() % 2 == 0) damaged.erase(from, count);
      damaged.insert(std::min(to, damaged.size()), piece);
      (void)loads(damaged);
    }
  }
  SUCCEED("survived");
}
