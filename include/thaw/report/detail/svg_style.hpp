// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <string_view>

#include <thaw/report/detail/utf8.hpp>

namespace thaw::detail {

inline constexpr double font_size = 13;

/// About the width in px that `text` takes, rather too much than too little.
[[nodiscard]] inline double text_width(std::string_view text) {
  return 0.58 * font_size * static_cast<double>(display_width(text));
}

inline constexpr std::size_t palette_size = 7;

/// Okabe and Ito's palette, which colour-blind people can tell apart; on a dark page the dark colours are exchanged for
/// the light ones. Every rule is below `.thaw-figure`, so that figures can be put into one page with other things.
inline constexpr std::string_view svg_style = R"(<style>
.thaw-figure{background:#fff;font:13px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
.thaw-figure text{fill:#3c4046}
.thaw-figure .page{fill:#fff}
.thaw-figure .title{fill:#16181d;font-weight:600}
.thaw-figure .grid{stroke:#e6e8eb;stroke-width:1}
.thaw-figure .axis{stroke:#8b9097;stroke-width:1}
.thaw-figure .boundary{stroke:#8b9097;stroke-width:1;stroke-dasharray:2 3}
.thaw-figure line.main{stroke:#16181d;stroke-width:1.5;stroke-dasharray:none}
.thaw-figure text.main{fill:#16181d;font-weight:600}
.thaw-figure .block{fill:#d0d3d7}
.thaw-figure .line{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.thaw-figure .thin{stroke-width:1;stroke-opacity:.38}
.thaw-figure .dot{fill:currentColor;stroke:none}
.thaw-figure .marker{fill:currentColor;stroke:#fff;stroke-width:2}
.thaw-figure .c0{color:#0072b2}
.thaw-figure .c1{color:#d55e00}
.thaw-figure .c2{color:#009e73}
.thaw-figure .c3{color:#cc79a7}
.thaw-figure .c4{color:#e69f00}
.thaw-figure .c5{color:#56b4e9}
.thaw-figure .c6{color:#000}
@media (prefers-color-scheme:dark){
.thaw-figure{background:#16181d}
.thaw-figure text{fill:#c3c8cf}
.thaw-figure .page{fill:#16181d}
.thaw-figure .title{fill:#f2f4f7}
.thaw-figure .grid{stroke:#2b2f36}
.thaw-figure .axis,.thaw-figure .boundary{stroke:#7d838c}
.thaw-figure line.main{stroke:#f2f4f7}
.thaw-figure text.main{fill:#f2f4f7}
.thaw-figure .block{fill:#454a52}
.thaw-figure .thin{stroke-opacity:.55}
.thaw-figure .marker{stroke:#16181d}
.thaw-figure .c0{color:#56b4e9}
.thaw-figure .c5{color:#0072b2}
.thaw-figure .c6{color:#f0e442}
}
</style>
)";

}  // namespace thaw::detail
