# SPDX-License-Identifier: BSD-3-Clause
# One target per dependency: thaw::thaw needs LibTorch and fmt; thaw::io adds what weight files and checkpoints need,
# thaw::vision what images need, thaw::text what text in all languages needs, thaw::distributed what several processes
# need.
file(GLOB_RECURSE thaw_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/thaw/*.hpp)
set(thaw_all_headers ${thaw_headers})
list(FILTER thaw_headers EXCLUDE REGEX "/thaw/(weights|checkpoint|vision|text|distributed)/")

add_library(thaw INTERFACE)
add_library(thaw::thaw ALIAS thaw)
target_sources(thaw INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${thaw_headers})
target_compile_features(thaw INTERFACE cxx_std_20) # Torch does not propagate it
# The wheel ships its own fmt headers in its include folder, found before the system's: header-only fmt brings
# the code that belongs to whichever header was found first.
# TORCH_LIBRARIES holds absolute paths, so the installed package appends it itself (thaw-config.cmake.in).
target_link_libraries(thaw INTERFACE fmt::fmt-header-only "$<BUILD_INTERFACE:${TORCH_LIBRARIES}>")

# thaw_component(<name> ROOMS <room>... LINKS <library>... FOR <what>): thaw_<name>, which any machine can install, and
# thaw::<name> where its libraries are found.
function(thaw_component name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FOR" "ROOMS;LINKS")
  set(headers ${thaw_all_headers})
  list(JOIN arg_ROOMS "|" rooms)
  list(FILTER headers INCLUDE REGEX "/thaw/(${rooms})/")
  add_library(thaw_${name} INTERFACE)
  set_target_properties(thaw_${name} PROPERTIES EXPORT_NAME ${name})
  target_sources(thaw_${name} INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${headers})
  target_link_libraries(thaw_${name} INTERFACE thaw ${arg_LINKS})
  set(thaw_targets ${thaw_targets} thaw_${name} PARENT_SCOPE)
  if(THAW_INSTALL_ONLY)
    return()
  endif()
  thaw_component_lacks(${name} lacks)
  if(lacks STREQUAL "")
    add_library(thaw::${name} ALIAS thaw_${name})
    set(thaw_components ${thaw_components} thaw_${name} PARENT_SCOPE)
  else()
    message(STATUS "thaw: there is no thaw::${name} (${arg_FOR}): ${lacks}")
  endif()
endfunction()

set(thaw_targets thaw) # all that is installed
set(thaw_components "") # those that can be linked here
thaw_component(io ROOMS weights checkpoint LINKS nlohmann_json::nlohmann_json xxHash::xxhash
               FOR "weight files, checkpoints")
thaw_component(vision ROOMS vision LINKS ThawOpenCV::ThawOpenCV FOR "images from disk")
thaw_component(text ROOMS text LINKS ICU::uc FOR "tokenizers")
thaw_component(distributed ROOMS distributed LINKS ThawGloo::ThawGloo FOR "several processes")
if(TARGET ThawNccl::ThawNccl)
  # the package looks for it anew
  target_link_libraries(thaw_distributed INTERFACE $<BUILD_INTERFACE:ThawNccl::ThawNccl>)
endif()

if(NOT THAW_INSTALL_ONLY)
  thaw_add_compiled(${PROJECT_SOURCE_DIR}/include)
endif()

if(NOT PROJECT_IS_TOP_LEVEL) # warnings of thaw's headers are no matter of those who include it
  set_target_properties(${thaw_targets} PROPERTIES SYSTEM ON)
endif()
