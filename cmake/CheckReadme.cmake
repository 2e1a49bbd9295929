# SPDX-License-Identifier: BSD-3-Clause
# cmake -P cmake/CheckReadme.cmake: the program in README.md is examples/quick_start.cpp, to the letter, below its licence.
file(READ ${CMAKE_CURRENT_LIST_DIR}/../README.md readme)
file(READ ${CMAKE_CURRENT_LIST_DIR}/../examples/quick_start.cpp program)
string(REGEX REPLACE "^// SPDX[^\n]*\n" "" program "${program}")
string(FIND "${readme}" "```cpp\n${program}```" at)
if(at EQUAL -1)
  message(FATAL_ERROR "README.md does not show examples/quick_start.cpp as it is: copy it there")
endif()
