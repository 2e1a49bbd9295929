// SPDX-License-Identifier: BSD-3-Clause
// Weight files from strangers, by libFuzzer: whatever the bytes are, each reader loads them or throws thaw::Error, in
// bounded memory. `fuzz_weights --reader=pickle|zip|legacy|safetensors|index <corpus>`; ./dev fuzz runs them all.

#include <ATen/Functions.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thaw/weights/read_weights.hpp>
#include <utility>

namespace {

using thaw::StateDict;
using thaw::detail::Source;

/// Reads all elements: a view beyond its storage would be seen by the sanitizer.
void touch(const StateDict& state) {
  for (const auto& [name, tensor] : state) {
    constexpr std::int64_t most = 1 << 16;  // expanded tensors may claim any number of elements
    if (tensor.numel() < most) (void)tensor.clone(at::MemoryFormat::Contiguous);
  }
}

/// One pickle after the other, as at the beginning of the files before 1.6; and what is looked for in each.
void read_pickles(const Source& source) {
  for (std::size_t at = 0; at < source.bytes.size();) {
    const thaw::detail::Pickle pickle = thaw::detail::Unpickler(source, source.bytes.substr(at)).read();
    at += pickle.size;
    for (const char* key : {"", "state_dict", "args", "nested.0.deep"}) {
      try {
        (void)thaw::detail::dict_tensors(source, pickle, key);
      } catch (const thaw::Error&) {
      }
    }
    try {
      (void)thaw::detail::script_tensors(source, pickle, "");
    } catch (const thaw::Error&) {
    }
  }
}
void read_zip(const Source& source) {
  touch(thaw::detail::read_zip(source, ""));
}
void read_legacy(const Source& source) {
  touch(thaw::detail::read_legacy(source, ""));
}
void read_safetensors(const Source& source) {
  touch(thaw::detail::read_safetensors(source));
  (void)thaw::detail::parse_metadata(source, thaw::detail::split_safetensors(source).header);
}
void read_index(const Source& source) {
  (void)thaw::detail::parse_index(source);
}
void read_any(const Source& source) {
  touch(thaw::detail::read_weights(source));
}

using Reader = void (*)(const Source&);
constexpr std::array<std::pair<std::string_view, Reader>, 6> readers{{{"any", read_any},
                                                                      {"pickle", read_pickles},
                                                                      {"zip", read_zip},
                                                                      {"legacy", read_legacy},
                                                                      {"safetensors", read_safetensors},
                                                                      {"index", read_index}}};
Reader chosen = read_any;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  constexpr std::string_view option = "--reader=";
  for (int i = 1; i < *count; ++i) {
    const std::string_view argument = (*arguments)[i];
    if (!argument.starts_with(option)) continue;
    Reader found = nullptr;
    for (const auto& [name, reader] : readers) {
      if (name == argument.substr(option.size())) found = reader;
    }
    if (found == nullptr) {
      std::fprintf(stderr, "no reader of that name: %s\n", (*arguments)[i]);
      std::exit(1);
    }
    chosen = found;
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Once copied out of bytes that nobody keeps, once lying in them, as in a mapped file.
  const auto bytes = std::make_shared<std::string>(reinterpret_cast<const char*>(data), size);
  for (const bool lends : {false, true}) {
    try {
      chosen({"memory", *bytes, bytes, lends});
    } catch (const thaw::Error&) {
    } catch (const c10::Error&) {  // as read_weights: damage that LibTorch saw first
    }
  }
  return 0;
}
