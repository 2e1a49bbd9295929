// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <thaw/weights/detail/pickle.hpp>

#include "files.hpp"

using namespace std::string_literals;
using Catch::Matchers::ContainsSubstring;
using thaw::detail::Node;
using thaw::detail::Pickle;
using thaw::detail::Value;

namespace {

/// Keeps the bytes that the pickle's texts are views of.
struct Read {
  explicit Read(std::string program) : bytes(std::move(program)), source{"memory", bytes} {
    pickle = thaw::detail::Unpickler(source, bytes).read();
  }
  std::string bytes;
  thaw::detail::Source source;
  Pickle pickle;
};

std::string failure(const std::string& program) {
  return thaw::test::complaint([&] { Read read(program); });
}

}  // namespace

TEST_CASE("Small values are read as they are") {
  CHECK(Read("\x80\x02N."s).pickle.root == Value());
  CHECK(Read("\x88."s).pickle.root == Value(true));
  CHECK(Read("\x89."s).pickle.root == Value(false));
  CHECK(Read("K\xff."s).pickle.root == Value(std::int64_t{255}));
  CHECK(Read("M\xff\xff."s).pickle.root == Value(std::int64_t{65535}));
  CHECK(Read("J\xfe\xff\xff\xff."s).pickle.root == Value(std::int64_t{-2}));
  CHECK(Read("\x8a\x00."s).pickle.root == Value(std::int64_t{0}));
  CHECK(Read("\x8a\x01\xff."s).pickle.root == Value(std::int64_t{-1}));
  CHECK(Read("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."s).pickle.root == Value(INT64_MIN));
  CHECK(Read("\x8b\x02\x00\x00\x00\x00\x01."s).pickle.root == Value(std::int64_t{256}));
  CHECK(Read("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."s).pickle.root == Value("\0\0\0\0\0\0\0\0\1"s));
  CHECK(Read("G\x3f\xf8\x00\x00\x00\x00\x00\x00."s).pickle.root == Value(1.5));
  for (const auto& text :
       {"U\x02hi."s, "\x8c\x02hi."s, "X\x02\x00\x00\x00hi."s, "\x8d\x02\0\0\0\0\0\0\0hi."s, "C\x02hi."s}) {
    CHECK(Read(text).pickle.root == Value(std::string_view("hi")));
  }
}

TEST_CASE("Containers are read") {
  const Read dict(
      "}(U\x01"s
      "aK\x01U\x01"s
      "bK\x02u."s);
  const Node* node = dict.pickle.node(dict.pickle.root, Node::Kind::dict);
  REQUIRE(node != nullptr);
  REQUIRE(node->items.size() == 4);
  CHECK(node->items[2] == Value(std::string_view("b")));
  const Read list(
      "](K\x01K\x02"s
      "e."s);
  CHECK(list.pickle.node(list.pickle.root, Node::Kind::list)->items.size() == 2);
  const Read tuple("K\x01K\x02K\x03\x87."s);
  CHECK(tuple.pickle.node(tuple.pickle.root, Node::Kind::tuple)->items.size() == 3);
}

TEST_CASE("An OrderedDict may come with its items, as Python 2 wrote it") {
  const Read read(
      "ccollections\nOrderedDict\n(](](U\x01"s
      "aK\x01"s
      "eetR."s);
  const Node* node = read.pickle.node(read.pickle.root, Node::Kind::dict);
  REQUIRE(node != nullptr);
  REQUIRE(node->items.size() == 2);
  CHECK(node->items[0] == Value(std::string_view("a")));
}

TEST_CASE("What follows the pickle is not its own") {
  CHECK(Read("\x80\x02K\x01.rest"s).pickle.size == 5);
}

TEST_CASE("A global that none but an attack needs is an error that names it") {
  CHECK_THAT(failure("cos\nsystem\n(U\x02idtR."s), ContainsSubstring("'os.system'"));
  CHECK_THAT(failure("\x8c\x08"s
                     "builtins\x8c\x04"s
                     "eval\x93."s),
             ContainsSubstring("'builtins.eval'"));
  CHECK_THAT(failure("ctorch\nload\n."s), ContainsSubstring("'torch.load'"));
  for (const std::string name : {"posix.popen", "nt.system", "os.execv", "subprocess.Popen", "__builtin__.eval",
                                 "builtins.__import__", "torch.hub.load", "runpy.run_path"}) {
    const std::size_t dot = name.rfind('.');
    const std::string program = "c" + name.substr(0, dot) + "\n" + name.substr(dot + 1) + "\n.";
    CHECK_THAT(failure(program),
               ContainsSubstring("'" + name + "', which is no part of a state dict; nothing was run"));
  }
  for (const std::string program :
       {"cos\nstat_result\n.", "csys\nfloat_info\n.", "ccode\nConfig\n.", "cbuiltins\nlen\n."})
    CHECK(failure(program).empty());
}

TEST_CASE("Malformed pickles are errors") {
  for (const auto& program : {""s,
                              "."s,
                              "K"s,
                              "K\x01"s,
                              "q\x00."s,
                              "h\x00."s,
                              "j\xff\xff\xff\xff."s,
                              "t."s,
                              "a."s,
                              "]a."s,
                              "K\x01K\x02"s
                              "a."s,
                              "}(K\x01u."s,
                              "(K\x01"s
                              "a."s,
                              "R."s,
                              "K\x01K\x02R."s,
                              "K\x01)R."s,
                              "ccollections\nOrderedDict\n(K\x01tR."s,
                              "ccollections\nOrderedDict"s,
                              "b."s,
                              "NNb."s,
                              "Q."s,
                              "0."s,
                              "(."s,
                              "\x80\x09N."s,
                              "\x80\x01N."s,
                              "\x93."s,
                              "NN\x93."s,
                              "i."s,
                              "\xffN."s,
                              "\x85."s,
                              "\x86."s,
                              "\x87."s,
                              "K\x01(\x85."s}) {
    INFO(program);
    CHECK_THAT(failure(program), ContainsSubstring("is damaged: its pickle is malformed at byte "));
  }
}

TEST_CASE("Sizes beyond the file are errors, not allocations") {
  for (const auto& program : {"X\xff\xff\xff\xff."s, "T\xff\xff\xff\xff."s, "\x8d\xff\xff\xff\xff\xff\xff\xff\xff."s,
                              "\x8b\xff\xff\xff\xff."s}) {
    CHECK_THAT(failure(program), ContainsSubstring("it ends too early"));
  }
  CHECK_THAT(failure(std::string(std::size_t{5} << 20, ']')), ContainsSubstring("instructions"));
}

TEST_CASE("Depth takes no stack") {
  const std::size_t depth = 1'000'000;
  std::string lists(depth, ']');
  lists += std::string(depth - 1, 'a') + ".";
  CHECK(Read(lists).pickle.nodes.size() == depth);
  CHECK(Read(std::string(depth, '(') + std::string(depth, 't') + "."s).pickle.nodes.size() == depth);
}

TEST_CASE("A list may hold itself") {
  const Read read(
      "]q\x00h\x00"s
      "a."s);
  CHECK(read.pickle.node(read.pickle.root)->items[0] == read.pickle.root);
}

TEST_CASE("Objects of any class are described, not made, by whatever instruction") {
  const std::string point = "cgeometry\nPoint\n"s;
  const std::vector<std::string> programs = {point + "K\x01\x85R."s,                   // REDUCE
                                             point + ")\x81."s,                        // NEWOBJ
                                             point + ")}\x92."s,                       // NEWOBJ_EX
                                             "(K\x01igeometry\nPoint\n."s,             // INST
                                             "("s + point + "K\x01o."s,                // OBJ
                                             "\x8c\x08geometry\x8c\x05Point\x93)R."s,  // STACK_GLOBAL
                                             point + ")\x81}b."s,                      // BUILD by a dict
                                             point +
                                                 ")\x81N}\x86"
                                                 "b."s,  // by a tuple
                                             point +
                                                 ")\x81K\x01"
                                                 "a(K\x02"
                                                 "e."s,                      // a list of a class of its own
                                             point + ")\x81(K\x01K\x02u."s,  // a dict
                                             point + ")\x81(K\x01\x90."s,    // a set
                                             "ccopyreg\n_reconstructor\n("s + point + "NNtR."s};  // of Python 2
  for (const auto& program : programs) {
    INFO(program);
    const Read read("\x80\x04"s + program);
    const Node* object = read.pickle.node(read.pickle.root, Node::Kind::call);
    REQUIRE(object != nullptr);
    CHECK(read.pickle.global_name(*object) == "geometry.Point");
    CHECK(read.pickle.size == program.size() + 2);
  }
  const Read bare(point + "."s);
  CHECK(bare.pickle.global_name(*bare.pickle.node(bare.pickle.root, Node::Kind::global)) == "geometry.Point");
  const Read inner("cbuiltins\ngetattr\n("s + point + "U\x05Inner"s + "tR)R."s);
  CHECK(inner.pickle.global_name(*inner.pickle.node(inner.pickle.root)) == "geometry.Point.Inner");
  const Read module(point + ")\x81}U\x0b_parameters}sb."s);
  CHECK(module.pickle.node(module.pickle.root)->global->role == thaw::detail::Role::module);
}

TEST_CASE("Sets, bytes, big integers, marks and copies are read") {
  for (const auto& program : {"\x8f(K\x01\x90."s, "(K\x01\x91."s,
                              "\x95\x04\0\0\0\0\0\0\0]K\x01"
                              "a."s,
                              "](NN1K\x01"
                              "a."s,
                              "]K\x01"
                              "20a."s}) {
    INFO(program);
    const Read read(program);
    const std::vector<Value>& items = read.pickle.node(read.pickle.root, Node::Kind::list)->items;
    REQUIRE(items.size() == 1);
    CHECK(items[0] == Value(std::int64_t{1}));
  }
  CHECK(Read("\x96\x02\0\0\0\0\0\0\0hi."s).pickle.root == Value(std::string_view("hi")));
  CHECK(Read("\x8e\x02\0\0\0\0\0\0\0hi."s).pickle.root == Value(std::string_view("hi")));
  CHECK(Read("\x8b\x00\x01\x00\x00"s + std::string(256, '\x7f') + "."s).pickle.root == Value(std::string(256, '\x7f')));
}

TEST_CASE("Instructions that lead out of the file are refused by name") {
  for (const auto& program : {"\x82\x01."s, "\x83\x01\x01."s, "\x84\x01\x01\x01\x01."s})
    CHECK_THAT(failure(program), ContainsSubstring("extension registry (EXT)"));
  for (const auto& program : {"\x97."s, "N\x98."s})
    CHECK_THAT(failure(program), ContainsSubstring("a buffer that lies outside of the file"));
  CHECK_THAT(failure("I01\n."s), ContainsSubstring("an instruction of pickle protocol 0"));
}

TEST_CASE("What a pickle remembers is found by the number that its writer gave it") {
  CHECK(Read("K\x05r\x02\0\0\0K\x06\x94h\x01\x86."s).pickle.nodes.size() == 1);  // MEMOIZE counts what is remembered
  CHECK_THAT(failure("K\x05r\xff\xff\xff\x7f."s), ContainsSubstring("something remembered as"));
  CHECK_THAT(failure("K\x05q\x03h\x01."s), ContainsSubstring("nothing remembered as 1"));
}

TEST_CASE("A list of millions is read: the size of a file bounds what it holds, not a number of instructions") {
  constexpr int count = 4'300'000;
  std::string program = "\x80\x02]q\x01("s;
  for (int i = 0; i < count; ++i) program += i % 2 == 0 ? "K\x01"s : "N"s;
  const Read read(program + "e."s);
  CHECK(read.pickle.node(read.pickle.root, Node::Kind::list)->items.size() == count);
}

TEST_CASE("What repeats itself costs what it is worth") {
  CHECK_THAT(failure("\x80\x04" + std::string(5'000'000, '}') + "."),
             ContainsSubstring("more objects than a file of this size can hold"));
  CHECK_THAT(failure("\x80\x04](" + std::string(20'000'000, 'N') + "e."),  // a pickler writes a thousand at a time
             ContainsSubstring("more objects than a file of this size can hold"));

  std::string pairs = "\x80\x02](";  // an OrderedDict of the same 100,000 pairs, again and again
  for (int i = 0; i < 100'000; ++i) pairs += "](NNe";
  pairs +=
      "eq\x01"
      "0ccollections\nOrderedDict\nq\x02"
      "0";
  for (int i = 0; i < 10'000; ++i) pairs += "h\x02h\x01\x85R";
  CHECK_THAT(failure(pairs + "."), ContainsSubstring("more objects than a file of this size can hold"));

  std::string names = "\x80\x04X\x40\x42\x0f\0"s + std::string(1'000'000, 'x') +
                      "q\x01"
                      "0";
  for (int i = 0; i < 200'000; ++i)
    names +=
        "h\x01h\x01\x93"
        "0";  // a global with names of a megabyte
  CHECK(Read(names + "N.").pickle.nodes.size() == 200'000);
}
