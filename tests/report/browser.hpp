// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "support/folder.hpp"

namespace thaw::test {

/// What a page looks like: its width in px, and whether the reader's system is dark.
struct Look {
  int width = 800;
  bool dark = false;
};

// Says, a line for each: texts that lie upon each other; what is wider than the page, or leaves its picture; texts with
// less contrast than WCAG 2.2 asks for at level AA; and in which colours each layer group's row is drawn.
inline constexpr const char* audit = R"js(<script>
const said = [], say = (...words) => said.push(words.join(' '));
const texts = [];
document.querySelectorAll('details').forEach(d => d.open = true);
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, of = node.parentElement, words = node.data.trim();
  if (!words || ['style', 'script', 'title'].includes(of.tagName.toLowerCase())) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  const box = of.tagName == 'text' ? of.getBoundingClientRect() : range.getBoundingClientRect();
  texts.push({of, words, box});
}
const crosses = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
for (let i = 0; i < texts.length; ++i)
  for (let j = 0; j < i; ++j)
    if (crosses(texts[i].box, texts[j].box)) say('overlap:', texts[i].words, '/', texts[j].words);
if (document.documentElement.scrollWidth > innerWidth) say('the page is', document.documentElement.scrollWidth, 'wide');
for (const {of, words, box} of texts) {
  if (!of.closest('.wide') && (box.right > innerWidth || box.left < 0)) say('off the page:', words);
  const svg = of.closest('.thaw-figure'), edge = svg && svg.getBoundingClientRect();
  if (svg && (box.left < edge.left || box.right > edge.right || box.top < edge.top || box.bottom > edge.bottom))
    say('out of its picture:', words);
}
const rgba = color => { const p = color.match(/[\d.]+/g).map(Number); return p.length == 3 ? [...p, 1] : p; };
const over = (top, below) => below.map((c, i) => top[i] * top[3] + c * (1 - top[3]));
const luminance = c => c.slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
for (const {of, words, box} of texts) {
  const style = getComputedStyle(of), color = rgba(of.tagName == 'text' ? style.fill : style.color);
  const under = document.elementsFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
  if (!under.includes(of)) continue;  // scrolled out of sight
  let ground = [255, 255, 255];
  for (const e of under.slice(under.indexOf(of)).reverse()) {
    const s = getComputedStyle(e), shape = e.tagName == 'rect';
    const fill = rgba(shape ? s.fill : s.backgroundColor);
    if (shape) fill[3] *= Number(s.fillOpacity);
    if (e.tagName != 'text') ground = over(fill, ground);
  }
  const [light, dark] = [luminance(over(color, ground)), luminance(ground)].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05), large = parseFloat(style.fontSize) >= 24;
  if (ratio < (large ? 3 : 4.5)) say('contrast', ratio.toFixed(2) + ':', words);
}
const rows = new Map();
for (const tick of document.querySelectorAll('.thaw-figure text.tick[text-anchor=end]'))
  for (const line of tick.closest('.thaw-figure').querySelectorAll('polyline')) {
    const heights = new Set(line.getAttribute('points').split(' ').map(point => point.split(',')[1]));
    if (heights.size > 1 || Math.abs([...heights][0] - (tick.getAttribute('y') - 4.5)) > 0.2) continue;
    if (!rows.has(tick.textContent)) rows.set(tick.textContent, new Set());
    rows.get(tick.textContent).add(getComputedStyle(line).stroke);
  }
for (const [name, colors] of rows) say('group', name + ':', colors.size, colors.size == 1 ? 'color' : 'colors');
if (new Set([...rows.values()].flatMap(colors => [...colors])).size < rows.size) say('two groups have one color');
parent.postMessage(said.join('\n'), '*');
</script>
)js";

/// What `audit` says of a page in Chromium; none where there is no Chromium, or it cannot run.
inline std::optional<std::string> audited(std::string page, const Look& look) {
  if (std::system("command -v chromium >/dev/null 2>&1") != 0) return std::nullopt;
  const std::string query = "(prefers-color-scheme:dark)";
  for (std::size_t at = 0; look.dark && (at = page.find(query, at)) != std::string::npos;)
    page.replace(at, query.size(), "all");
  page.insert(page.rfind("</body>"), audit);
  const Folder folder;
  std::ofstream(folder / "page.html") << page;
  std::ofstream(folder / "frame.html")
      << "<body><script>onmessage = e => document.body.textContent = '[' + e.data + ']'</script>"
      << "<iframe src=\"page.html\" style=\"border:0;height:20000px;width:" << look.width << "px\"></iframe></body>";
  const std::string run = "cd '" + folder.path.string() +
                          "' && HOME=$PWD timeout 100 chromium --headless --no-sandbox --disable-gpu "
                          "--virtual-time-budget=5000 --window-size=900,20100 --dump-dom \"file://$PWD/frame.html\" "
                          ">dom.html 2>log";
  if (std::system(run.c_str()) != 0) return std::nullopt;
  const std::string dom = text_of(folder / "dom.html");
  const std::size_t begin = dom.find('['), end = dom.rfind(']');
  return begin == std::string::npos || end == std::string::npos ? "no answer: " + dom
                                                                : dom.substr(begin + 1, end - begin - 1);
}

}  // namespace thaw::test
