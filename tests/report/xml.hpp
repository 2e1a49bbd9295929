// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cctype>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace thaw::test {

/// An element's own text is that before its first child.
struct Element {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string text;

  [[nodiscard]] std::string operator[](const std::string& attribute) const {
    const auto found = attributes.find(attribute);
    return found == attributes.end() ? "" : found->second;
  }
  [[nodiscard]] double number(const std::string& attribute) const { return std::stod(attributes.at(attribute)); }
};

/// The elements of an XML text in document order. Throws where it is not well-formed: tags that do not pair up, more
/// than one root, attributes without quotes or twice, bare '&' or '<'. Entities stay as they are.
class Xml {
 public:
  explicit Xml(std::string_view text) : rest_(text) {
    while (!rest_.empty()) rest_.front() == '<' ? tag() : words();
    if (!open_.empty()) throw std::runtime_error("not closed: " + elements[open_.back()].name);
  }

  std::vector<Element> elements;

  /// Those with this name and, unless empty, this class.
  [[nodiscard]] std::vector<Element> all(std::string_view name, std::string_view kind = "") const {
    std::vector<Element> found;
    for (const Element& e : elements)
      if (e.name == name && (kind.empty() || e["class"] == kind)) found.push_back(e);
    return found;
  }
  [[nodiscard]] std::vector<std::string> texts(std::string_view kind) const {
    std::vector<std::string> found;
    for (const Element& e : all("text", kind)) found.push_back(e.text);
    return found;
  }

 private:
  std::string take_until(std::string_view stop) {
    const auto end = rest_.find_first_of(stop);
    if (end == rest_.npos) throw std::runtime_error("ends too early");
    std::string taken(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return taken;
  }

  void expect(std::string_view what) {
    if (!rest_.starts_with(what))
      throw std::runtime_error("expected " + std::string(what) + " at " + std::string(rest_));
    rest_.remove_prefix(what.size());
  }

  static void check(const std::string& text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '<') throw std::runtime_error("bare < in " + text);
      if (text[i] != '&') continue;
      const std::string entity = text.substr(i, text.find(';', i) - i + 1);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;")
        throw std::runtime_error("bare & in " + text);
    }
  }

  void words() {
    const std::string text(rest_.substr(0, rest_.find('<')));
    rest_.remove_prefix(text.size());
    check(text);
    if (open_.empty() && text.find_first_not_of(" \n") != text.npos) throw std::runtime_error("text outside");
    if (!open_.empty() && open_.back() + 1 == elements.size()) elements.back().text += text;
  }

  void tag() {
    expect("<");
    if (rest_.starts_with("/")) {
      expect("/" + (open_.empty() ? "?" : elements[open_.back()].name) + ">");
      open_.pop_back();
      return;
    }
    if (open_.empty() && !elements.empty()) throw std::runtime_error("two roots");
    Element element{.name = take_until(" />"), .attributes = {}, .text = {}};
    while (rest_.starts_with(" ")) {
      expect(" ");
      const std::string name = take_until("=");
      expect("=\"");
      const std::string value = take_until("\"");
      expect("\"");
      check(value);
      if (!element.attributes.emplace(name, value).second) throw std::runtime_error("twice: " + name);
    }
    elements.push_back(element);
    if (rest_.starts_with("/")) return expect("/>");
    expect(">");
    open_.push_back(elements.size() - 1);
  }

  std::string_view rest_;
  std::vector<std::size_t> open_;
};

}  // namespace thaw::test
