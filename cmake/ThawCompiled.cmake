# SPDX-License-Identifier: BSD-3-Clause
# What makes programs that include thaw compile faster.

# thaw_add_compiled(<include folder>): thaw::compiled, a library of all of thaw that is no template, for each room that
# thaw's other targets can pay for. It is built in your own build, by your own flags, once something links it. Who links
# it sees declarations only: see <thaw/core/compiled.hpp>.
function(thaw_add_compiled include_dir)
  file(GLOB_RECURSE headers RELATIVE ${include_dir} ${include_dir}/thaw/*.hpp)
  set(rooms "")
  foreach(header IN LISTS headers)
    file(STRINGS ${include_dir}/${header} defines REGEX "^#if THAW_DEFINES\\([a-z]+\\)" LIMIT_COUNT 1)
    if(defines MATCHES "\\(([a-z]+)\\)")
      list(APPEND rooms ${CMAKE_MATCH_1})
      string(APPEND includes_${CMAKE_MATCH_1} "#include <${header}>\n")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES rooms)
  if(NOT TARGET thaw::io)
    list(REMOVE_ITEM rooms weights checkpoint)
  endif()
  set(sources "")
  foreach(room IN LISTS rooms)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/thaw_compiled/${room}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "#define THAW_DEFINES_${room} 1\n${includes_${room}}" @ONLY)
    list(APPEND sources ${source})
  endforeach()
  add_library(thaw_compiled STATIC EXCLUDE_FROM_ALL ${sources})
  add_library(thaw::compiled ALIAS thaw_compiled)
  target_compile_definitions(thaw_compiled PUBLIC THAW_COMPILED)
  target_link_libraries(thaw_compiled PUBLIC thaw::thaw)
  if(TARGET thaw::io)
    target_link_libraries(thaw_compiled PUBLIC thaw::io)
  endif()
  target_precompile_headers(thaw_compiled PRIVATE <torch/nn/module.h> <torch/nn/modules/container/sequential.h>
                            <torch/optim/adamw.h> <torch/optim/sgd.h> <torch/serialize.h>)
  set_target_properties(thaw_compiled PROPERTIES POSITION_INDEPENDENT_CODE ON UNITY_BUILD OFF CXX_SCAN_FOR_MODULES OFF)
endfunction()

# thaw_precompile_headers(<target>): LibTorch's headers and thaw's are compiled once for all files of a target. A target
# of the same flags shares them: target_precompile_headers(<other> REUSE_FROM <target>).
function(thaw_precompile_headers target)
  target_precompile_headers(${target} PRIVATE <torch/torch.h> <thaw/thaw.hpp>)
endfunction()
