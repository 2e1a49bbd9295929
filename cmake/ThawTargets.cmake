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

# thaw_component(<name> ROOMS <room>... NEEDS <library>... FOR <what>): thaw::<name>, where all that it needs is there
set(thaw_components "")
function(thaw_component name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FOR" "ROOMS;NEEDS")
  foreach(library IN LISTS arg_NEEDS)
    if(NOT TARGET ${library})
      message(STATUS "thaw: ${library} was not found, so there is no thaw::${name} (${arg_FOR})")
      return()
    endif()
  endforeach()
  set(headers ${thaw_all_headers})
  list(JOIN arg_ROOMS "|" rooms)
  list(FILTER headers INCLUDE REGEX "/thaw/(${rooms})/")
  add_library(thaw_${name} INTERFACE)
  add_library(thaw::${name} ALIAS thaw_${name})
  set_target_properties(thaw_${name} PROPERTIES EXPORT_NAME ${name})
  target_sources(thaw_${name} INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${headers})
  target_link_libraries(thaw_${name} INTERFACE thaw ${arg_NEEDS})
  set(thaw_components ${thaw_components} thaw_${name} PARENT_SCOPE)
endfunction()

thaw_component(io ROOMS weights checkpoint NEEDS nlohmann_json::nlohmann_json xxHash::xxhash
               FOR "weight files, checkpoints")
thaw_component(vision ROOMS vision NEEDS ThawOpenCV::ThawOpenCV FOR "images from disk")
thaw_component(text ROOMS text NEEDS ICU::uc FOR "tokenizers")
thaw_component(distributed ROOMS distributed NEEDS ThawGloo::ThawGloo FOR "several processes")
if(TARGET thaw_distributed AND TARGET ThawNccl::ThawNccl)
  target_link_libraries(thaw_distributed INTERFACE $<BUILD_INTERFACE:ThawNccl::ThawNccl>) # the package looks for it anew
endif()

thaw_add_compiled(${PROJECT_SOURCE_DIR}/include)

if(NOT PROJECT_IS_TOP_LEVEL) # warnings of thaw's headers are no matter of those who include it
  set_target_properties(thaw ${thaw_components} PROPERTIES SYSTEM ON)
endif()
