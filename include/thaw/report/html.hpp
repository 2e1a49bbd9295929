// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/report/detail/base64.hpp>
#include <thaw/report/detail/svg_writer.hpp>
#include <thaw/report/detail/write_file.hpp>
#include <thaw/report/figure.hpp>
#include <thaw/report/picture.hpp>
#include <thaw/report/svg.hpp>
#include <thaw/report/table.hpp>

namespace thaw {

/// A table as an HTML element, aligned as its text is. Cells are escaped.
[[nodiscard]] std::string to_html(const Table& table);

/// A picture as an HTML element that holds the file itself, with its caption below; it scrolls as a table does.
[[nodiscard]] std::string to_html(const Picture& picture);

namespace detail {

/// What scrolls sideways where the page is narrower.
[[nodiscard]] inline std::string scrolling(std::string_view html) {
  return std::string("<div class=\"wide\">\n").append(html).append("</div>\n");
}

}  // namespace detail

/// Headings, words, tables, figures and pictures, one below the other: a page, or a part of one.
class HtmlPart {
 public:
  void heading(std::string_view words) { body_.text("h2", {}, words); }
  void subheading(std::string_view words) { body_.text("h3", {}, words); }
  void paragraph(std::string_view words) { body_.text("p", {}, words); }
  void table(const Table& table) { append(to_html(table)); }
  void figure(const Figure& figure) { svg(to_svg(figure)); }
  /// A picture as SVG text: see `append`. It scrolls within its place where that is too narrow to read it.
  void svg(std::string_view picture) { append(detail::scrolling(picture)); }
  void picture(const Picture& picture) { append(to_html(picture)); }
  /// HTML that is well-formed and trusted: it is not escaped.
  void append(std::string_view html) { body_.append(html); }

  /// All of it, as HTML.
  [[nodiscard]] const std::string& body() const { return body_.text(); }

 private:
  detail::SvgWriter body_;
};

/// A page that needs nothing outside itself: no network, no script. Light or dark as the reader's system is.
///
///     thaw::HtmlPage page("Sign digits");
///     page.heading("Curves");
///     page.figure(to_figure(learner.history()));
///     page.write("run.html");
class HtmlPage : public HtmlPart {
 public:
  /// `refresh`: after how many seconds a browser reads the page anew; 0 for one that will not change.
  explicit HtmlPage(std::string_view title, int refresh = 0) : title_(title), refresh_(refresh) {
    append("<h1>" + detail::xml_escaped(title) + "</h1>\n");
  }

  /// The whole page, so far.
  [[nodiscard]] std::string text() const;

  /// Replaces the file in one step: who reads it sees the old page or the new. Throws FileError.
  void write(const std::filesystem::path& path) const { detail::write_file(path, text()); }

 private:
  static constexpr std::string_view style = R"(<style>
body{max-width:760px;margin:2rem auto;padding:0 1rem;background:#fff;color:#3c4046;
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
h1,h2,h3{color:#16181d;line-height:1.25}
h1{font-size:1.6rem}
h2{font-size:1.2rem;margin-top:2.2rem}
h3{font-size:1rem}
.wide{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .8rem .25rem 0;text-align:left;vertical-align:top;white-space:nowrap}
th{font-weight:600;color:#16181d;border-bottom:1px solid #8b9097}
td{border-bottom:1px solid #e6e8eb}
.wide>svg,.wide>img{max-width:max(100%,580px)!important}
.number{text-align:right}
.answer{font-size:1.15rem}
figure{margin:1rem 0}
figcaption{font-size:.9rem}
img{max-width:100%;height:auto}
summary{cursor:pointer}
@media (prefers-color-scheme:dark){
body{background:#16181d;color:#c3c8cf}
h1,h2,h3,th{color:#f2f4f7}
td{border-color:#2b2f36}
}
</style>
)";

  std::string title_;
  int refresh_;
};

}  // namespace thaw

#if THAW_DEFINES(report)

namespace thaw {

THAW_INLINE std::string to_html(const Table& table) {
  const detail::Columns columns(table);
  detail::SvgWriter html;
  const auto row = [&](const char* cell, const std::vector<std::string>& cells) {
    html.open("tr", {});
    for (std::size_t i = 0; i < columns.widths.size(); ++i) {
      const std::string_view words = i < cells.size() ? std::string_view(cells[i]) : std::string_view();
      if (columns.right[i])
        html.text(cell, {{"class", "number"}}, words);
      else
        html.text(cell, {}, words);
    }
    html.close("tr");
  };
  html.open("table", {});
  html.open("thead", {});
  row("th", table.headers);
  html.close("thead");
  html.open("tbody", {});
  for (const std::vector<std::string>& cells : table.rows) row("td", cells);
  html.close("tbody");
  html.close("table");
  return detail::scrolling(html.text());
}

THAW_INLINE std::string to_html(const Picture& picture) {
  detail::SvgWriter html;
  html.open("figure", {{"class", "wide"}});
  html.empty("img", {{"src", "data:" + picture.media_type + ";base64," + detail::base64(picture.bytes)},
                     {"alt", picture.caption}});
  html.text("figcaption", {}, picture.caption);
  html.close("figure");
  return std::move(html).take();
}

THAW_INLINE std::string HtmlPage::text() const {
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n";
  if (refresh_ > 0) page.append("<meta http-equiv=\"refresh\" content=\"" + std::to_string(refresh_) + "\"/>\n");
  page.append("<link rel=\"icon\" href=\"data:,\"/>\n");  // or a browser asks a server for one
  page.append("<title>" + detail::xml_escaped(title_) + "</title>\n").append(style);
  return page.append("</head>\n<body>\n").append(body()).append("</body>\n</html>\n");
}

}  // namespace thaw

#endif
