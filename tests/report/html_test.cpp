// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/html.hpp>

#include <catch2/catch_test_macros.hpp>
#include <string>

#include "report/xml.hpp"
#include "support/folder.hpp"

using thaw::HtmlPage;
using thaw::Table;
using thaw::test::Xml;

namespace {

/// What follows the doctype, which is no XML.
std::string after_doctype(const std::string& page) {
  REQUIRE(page.starts_with("<!DOCTYPE html>\n"));
  return page.substr(page.find('\n') + 1);
}

}  // namespace

TEST_CASE("a table in HTML has its headers and cells, numbers aligned right, a short row filled up") {
  Table table{.headers = {"group", "rate"}};
  table.add("stem", 1e-4);
  table.rows.push_back({"head"});
  const Xml html(to_html(table));
  const auto headers = html.all("th"), cells = html.all("td");
  REQUIRE(headers.size() == 2);
  CHECK(headers[0].text == "group");
  CHECK(headers[1]["class"] == "number");
  REQUIRE(cells.size() == 4);
  CHECK(cells[0].text == "stem");
  CHECK(cells[0]["class"].empty());
  CHECK(cells[1].text == "0.0001");
  CHECK(cells[1]["class"] == "number");
  CHECK(cells[3].text.empty());
}

TEST_CASE("tables and figures scroll within their own places") {
  HtmlPage page("a");
  page.table({.headers = {"a"}, .rows = {{"b"}}});
  page.figure({.panels = {{.title = "loss", .series = {{.x = {1, 2}, .y = {1, 2}}}}}});
  const std::string text = page.text();
  CHECK(text.find("<div class=\"wide\">\n<table>") != std::string::npos);
  CHECK(text.find("<div class=\"wide\">\n<svg") != std::string::npos);
  CHECK(Xml(after_doctype(text)).all("div", "wide").size() == 2);
}

TEST_CASE("a picture stands in the page itself, with its caption") {
  HtmlPage page("a");
  page.picture({.caption = "5 <b> & \"7\"", .bytes = "foobar"});
  page.picture({.caption = "drawn", .media_type = "image/svg+xml\"", .bytes = ""});
  const Xml html(after_doctype(page.text()));
  const auto pictures = html.all("img");
  REQUIRE(pictures.size() == 2);
  CHECK(pictures[0]["src"] == "data:image/png;base64,Zm9vYmFy");
  CHECK(pictures[0]["alt"] == "5 &lt;b&gt; &amp; &quot;7&quot;");
  CHECK(html.all("figcaption").at(0).text == "5 &lt;b&gt; &amp; &quot;7&quot;");
  CHECK(pictures[1]["src"] == "data:image/svg+xml&quot;;base64,");
}

TEST_CASE("names are escaped, wherever they stand") {
  const std::string evil = "<script>alert(\"1\")</script> & \xff";
  HtmlPage page(evil);
  page.heading(evil);
  page.subheading(evil);
  page.paragraph(evil);
  page.table({.headers = {evil}, .rows = {{evil}}});
  page.figure({.title = evil, .panels = {{.title = evil, .series = {{.name = evil, .x = {1, 2}, .y = {1, 2}}}}}});
  CHECK(page.text().find("<script") == std::string::npos);
  const Xml html(after_doctype(page.text()));
  CHECK(html.all("h1").at(0).text == "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; \xef\xbf\xbd");
  CHECK(html.all("svg", "thaw-figure").size() == 1);
}

TEST_CASE("a page needs nothing outside itself, and reads itself anew only where that is asked") {
  HtmlPage page("a");
  page.figure({.panels = {{.title = "loss", .series = {{.x = {1, 2}, .y = {1, 2}}}}}});
  const std::string text = page.text();
  CHECK(text.find("refresh") == std::string::npos);
  CHECK(text.find("src=") == std::string::npos);
  CHECK(text.find("@import") == std::string::npos);
  CHECK(text.find("url(") == std::string::npos);
  std::size_t links = 0;
  for (std::size_t at = text.find("http"); at != std::string::npos; at = text.find("http", at + 1))
    if (text.compare(at, 26, "http://www.w3.org/2000/svg") != 0 && text.compare(at, 10, "http-equiv") != 0) ++links;
  CHECK(links == 0);
  const Xml often(after_doctype(HtmlPage("a", 7).text()));
  CHECK(often.all("meta").at(2)["content"] == "7");

  const thaw::test::Folder folder;
  page.write(folder / "a.html");
  CHECK(thaw::test::text_of(folder / "a.html") == text);
}
