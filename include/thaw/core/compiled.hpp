// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Definitions that are no templates stand in a block at the end of their header:
//
//     std::vector<double> even_mults(double a, double b, std::size_t n);
//
//     #if THAW_DEFINES(groups)
//     THAW_INLINE std::vector<double> even_mults(double a, double b, std::size_t n) { ... }
//     #endif
//
// thaw::thaw is header-only: every file that includes the header compiles them. thaw::compiled defines THAW_COMPILED,
// and its own file for each room compiles the definitions of that room, once; all others see the declarations alone.

// NOLINTBEGIN(cppcoreguidelines-macro-usage): what a macro alone can do
#ifdef THAW_COMPILED
#define THAW_INLINE
#define THAW_DEFINES(room) THAW_DEFINES_##room
#else
#define THAW_INLINE inline
#define THAW_DEFINES(room) 1
#endif
// NOLINTEND(cppcoreguidelines-macro-usage)
