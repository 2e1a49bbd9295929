// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <thaw/report/detail/utf8.hpp>

namespace thaw::detail {

/// Text for the inside of an element or attribute. What XML may not hold becomes U+FFFD.
[[nodiscard]] inline std::string xml_escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::string_view c = next_character(text);
    if (c == "&")
      out += "&amp;";
    else if (c == "<")
      out += "&lt;";
    else if (c == ">")
      out += "&gt;";
    else if (c == "\"")
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

/// A number in px, to a tenth.
[[nodiscard]] inline std::string px(double value) {
  std::string text = fmt::format("{:.1f}", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

/// ` name="value"`.
struct Attribute {
  std::string text;

  Attribute(std::string_view name, std::string_view value) {
    text.append(" ").append(name).append("=\"").append(xml_escaped(value)).append("\"");
  }
  Attribute(std::string_view name, double value) : Attribute(name, px(value)) {}
};
using Attributes = std::initializer_list<Attribute>;

/// XML that grows element by element; every value and text is escaped.
class SvgWriter {
 public:
  void open(std::string_view element, Attributes attributes) { start(element, attributes).append(">\n"); }
  void close(std::string_view element) { text_.append("</").append(element).append(">\n"); }
  void empty(std::string_view element, Attributes attributes) { start(element, attributes).append("/>\n"); }
  void text(std::string_view element, Attributes attributes, std::string_view words) {
    start(element, attributes).append(">").append(xml_escaped(words)).append("</").append(element).append(">\n");
  }
  void append(std::string_view elements) { text_ += elements; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::string take() && { return std::move(text_); }

 private:
  std::string& start(std::string_view element, Attributes attributes) {
    text_.append("<").append(element);
    for (const Attribute& attribute : attributes) text_ += attribute.text;
    return text_;
  }

  std::string text_;
};

}  // namespace thaw::detail
