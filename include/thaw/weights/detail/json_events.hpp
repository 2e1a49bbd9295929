// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thaw/weights/detail/source.hpp>

namespace thaw::detail {

/// Reads a JSON text from front to back, in time linear in its length and without a tree of it in memory. (nlohmann's
/// callback, which also sees keys, looks at all siblings of an object when it ends.)
class JsonEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonEvents(const Source& source) : source_(source) {}

  /// Throws FileError for a text that is no JSON, or whose outermost value is no object.
  void read(std::string_view text) {
    (void)nlohmann::json::sax_parse(text, static_cast<nlohmann::json_sax<nlohmann::json>*>(this));
  }

 protected:
  enum class Kind { null, boolean, whole, number, text, object, array };
  struct Value {
    Kind kind = Kind::null;
    std::uint64_t number = 0;           ///< of a whole one, which is not negative
    const std::string* text = nullptr;  ///< of a text
  };

  /// A key of an object at this depth: 1 is the outermost.
  virtual void on_key(int depth, const std::string& key) = 0;
  /// A value inside a container of this depth; of an object or array its beginning.
  virtual void on_value(int depth, const Value& value) = 0;
  /// The end of a container of this depth.
  virtual void on_end(int) {}

  const Source& source_;

 private:
  bool value(const Value& found) {
    if (depth_ > 0) {
      on_value(depth_, found);
    } else if (found.kind != Kind::object) {
      throw source_.damaged("its header is no JSON object");
    }
    return true;
  }
  bool begin(Kind kind) {
    (void)value({.kind = kind});
    ++depth_;
    return true;
  }
  bool end() {
    on_end(depth_--);
    return true;
  }

  bool null() override { return value({.kind = Kind::null}); }
  bool boolean(bool) override { return value({.kind = Kind::boolean}); }
  bool number_integer(number_integer_t) override { return value({.kind = Kind::number}); }
  bool number_unsigned(number_unsigned_t number) override { return value({.kind = Kind::whole, .number = number}); }
  bool number_float(number_float_t, const string_t&) override { return value({.kind = Kind::number}); }
  bool string(string_t& text) override { return value({.kind = Kind::text, .text = &text}); }
  bool binary(binary_t&) override { return value({.kind = Kind::null}); }  // JSON has none
  bool start_object(std::size_t) override { return begin(Kind::object); }
  bool start_array(std::size_t) override { return begin(Kind::array); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }
  bool key(string_t& key) override {
    on_key(depth_, key);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) override {
    throw source_.damaged(fmt::format("its header is no JSON: {}", error.what()));
  }

  int depth_ = 0;
};

}  // namespace thaw::detail
