# One target per price: thaw::thaw needs LibTorch and fmt; thaw::io adds what weight files and checkpoints need,
# thaw::text what text in all languages needs.
file(GLOB_RECURSE thaw_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/thaw/*.hpp)
set(thaw_io_headers ${thaw_headers})
list(FILTER thaw_io_headers INCLUDE REGEX "/thaw/(weights|checkpoint)/")
set(thaw_text_headers ${thaw_headers})
list(FILTER thaw_text_headers INCLUDE REGEX "/thaw/text/")
list(FILTER thaw_headers EXCLUDE REGEX "/thaw/(weights|checkpoint|text)/")

# thaw_header_sets(<target> <header>...): the public headers are the file set HEADERS, each of which must compile alone
# (./dev headers); what stands in a detail/ is the file set details, installed as they are.
function(thaw_header_sets target)
  set(details ${ARGN})
  set(public ${ARGN})
  list(FILTER details INCLUDE REGEX "/detail/")
  list(FILTER public EXCLUDE REGEX "/detail/")
  target_sources(
    ${target} INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${public}
                        FILE_SET details TYPE HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${details})
  set_target_properties(${target} PROPERTIES INTERFACE_HEADER_SETS_TO_VERIFY HEADERS
                                             VERIFY_INTERFACE_HEADER_SETS ${PROJECT_IS_TOP_LEVEL})
endfunction()

add_library(thaw INTERFACE)
add_library(thaw::thaw ALIAS thaw)
thaw_header_sets(thaw ${thaw_headers})
target_compile_features(thaw INTERFACE cxx_std_20) # Torch does not propagate it
# The wheel ships its own fmt headers in its include folder, found before the system's: header-only fmt brings
# the code that belongs to whichever header was found first.
# TORCH_LIBRARIES holds absolute paths, so the installed package appends it itself (thaw-config.cmake.in).
target_link_libraries(thaw INTERFACE fmt::fmt-header-only "$<BUILD_INTERFACE:${TORCH_LIBRARIES}>")

if(nlohmann_json_FOUND AND xxHash_FOUND)
  add_library(thaw_io INTERFACE)
  add_library(thaw::io ALIAS thaw_io)
  set_target_properties(thaw_io PROPERTIES EXPORT_NAME io)
  thaw_header_sets(thaw_io ${thaw_io_headers})
  target_link_libraries(thaw_io INTERFACE thaw nlohmann_json::nlohmann_json xxHash::xxhash)
  set(thaw_io thaw_io)
else()
  message(STATUS "thaw: nlohmann_json and xxHash were not both found, so there is no thaw::io (weight files, checkpoints)")
endif()

if(ICU_FOUND)
  add_library(thaw_text INTERFACE)
  add_library(thaw::text ALIAS thaw_text)
  set_target_properties(thaw_text PROPERTIES EXPORT_NAME text)
  thaw_header_sets(thaw_text ${thaw_text_headers})
  target_link_libraries(thaw_text INTERFACE thaw ICU::uc)
  set(thaw_text thaw_text)
else()
  message(STATUS "thaw: ICU was not found, so there is no thaw::text (tokenizers)")
endif()
