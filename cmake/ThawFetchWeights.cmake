# SPDX-License-Identifier: BSD-3-Clause
# Official pretrained weights, fetched when CMake configures. find_package(thaw) brings it:
#
#   thaw_fetch_weights(resnet34)                              # into <build folder>/weights; sets resnet34_WEIGHTS
#   thaw_fetch_weights(resnet34 DESTINATION ${CMAKE_SOURCE_DIR}/weights)
#   thaw_fetch_weights(mine URL https://example.org/mine.safetensors SHA256 0123abcd...)
#
# Sets <name>_WEIGHTS to the file. A file that is there already, and right, is not fetched again. THAW_WEIGHTS_MIRROR,
# if set, is an address or a folder that holds the files by their names, and is asked in place of the official one.
#
# Publishers give the first 8 hexadecimal digits of a file's SHA-256 in its name, and no more: those are what is
# checked, which is good against damage and mix-ups, not against an attacker. Give SHA256, whole or its first 8 digits
# or more, to check that instead. Anything that goes wrong (no network, another file) is one error; nothing half is
# left.
include_guard(GLOBAL)

set(thaw_torchvision https://download.pytorch.org/models)
set(thaw_deit https://dl.fbaipublicfiles.com/deit)
set(thaw_timm https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights)
# name, address; docs/weights.md shows them too
set(thaw_official_weights
    resnet18 ${thaw_torchvision}/resnet18-f37072fd.pth
    resnet34 ${thaw_torchvision}/resnet34-b627a593.pth
    resnet50 ${thaw_torchvision}/resnet50-11ad3fa6.pth
    resnet101 ${thaw_torchvision}/resnet101-cd907fc2.pth
    resnext50_32x4d ${thaw_torchvision}/resnext50_32x4d-1a0047aa.pth
    wide_resnet50_2 ${thaw_torchvision}/wide_resnet50_2-9ba9bcbe.pth
    mobilenet_v2 ${thaw_torchvision}/mobilenet_v2-7ebf99e0.pth
    mobilenet_v3_large ${thaw_torchvision}/mobilenet_v3_large-5c1a4163.pth
    efficientnet_b0 ${thaw_torchvision}/efficientnet_b0_rwightman-7f5810bc.pth
    convnext_tiny ${thaw_torchvision}/convnext_tiny-983f1562.pth
    vit_b_16 ${thaw_torchvision}/vit_b_16-c867db91.pth
    deit_tiny_patch16_224 ${thaw_deit}/deit_tiny_patch16_224-a1311bcf.pth
    deit_small_patch16_224 ${thaw_deit}/deit_small_patch16_224-cd65a155.pth
    tf_efficientnet_lite0 ${thaw_timm}/tf_efficientnet_lite0-0aa007d2.pth
    tf_efficientnet_lite1 ${thaw_timm}/tf_efficientnet_lite1-bde8b488.pth
    tf_efficientnet_lite2 ${thaw_timm}/tf_efficientnet_lite2-dcccb7df.pth
    tf_efficientnet_lite3 ${thaw_timm}/tf_efficientnet_lite3-b733e338.pth
    tf_efficientnet_lite4 ${thaw_timm}/tf_efficientnet_lite4-741542c3.pth)
set_property(GLOBAL PROPERTY thaw_official_weights "${thaw_official_weights}") # seen wherever the function is called

# thaw_fetch_weights(<name> [DESTINATION <folder>] [URL <address> SHA256 <digits>])
function(thaw_fetch_weights name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "DESTINATION;URL;SHA256" "")
  set(where "thaw_fetch_weights(${name})")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "${where}: there is no option '${arg_UNPARSED_ARGUMENTS}'; there are DESTINATION, URL, SHA256")
  endif()

  set(url "${arg_URL}")
  if(NOT url)
    get_property(official GLOBAL PROPERTY thaw_official_weights)
    list(FIND official ${name} place)
    if(place EQUAL -1)
      list(FILTER official EXCLUDE REGEX "/")
      list(JOIN official ", " names)
      message(FATAL_ERROR "${where}: no official address is known; give URL and SHA256, or one of: ${names}")
    endif()
    math(EXPR place "${place} + 1")
    list(GET official ${place} url)
  endif()
  get_filename_component(file "${url}" NAME)

  string(TOLOWER "${arg_SHA256}" digits)
  if(NOT digits AND file MATCHES "-([0-9a-f]+)\\.[a-z]+$")
    set(digits ${CMAKE_MATCH_1})
  endif()
  string(LENGTH "${digits}" count)
  if(NOT digits MATCHES "^[0-9a-f]+$" OR count LESS 8 OR count GREATER 64)
    message(FATAL_ERROR "${where}: give SHA256, the file's checksum or its first 8 digits or more")
  endif()
  if(THAW_WEIGHTS_MIRROR AND NOT arg_URL)
    set(url "${THAW_WEIGHTS_MIRROR}/${file}")
    if(NOT url MATCHES "://")
      get_filename_component(url "${url}" ABSOLUTE BASE_DIR ${CMAKE_CURRENT_SOURCE_DIR})
      set(url "file://${url}")
    endif()
  endif()

  set(folder "${arg_DESTINATION}")
  if(NOT folder)
    set(folder ${CMAKE_BINARY_DIR}/weights)
  endif()
  get_filename_component(path "${folder}/${file}" ABSOLUTE BASE_DIR ${CMAKE_CURRENT_BINARY_DIR})
  set(${name}_WEIGHTS "${path}" PARENT_SCOPE)
  if(EXISTS "${path}")
    file(SHA256 "${path}" found)
    string(SUBSTRING ${found} 0 ${count} found)
    if(found STREQUAL digits)
      return()
    endif()
    message(FATAL_ERROR "${where}: ${path} is there, but its SHA-256 begins with ${found}, not ${digits}; remove it")
  endif()

  message(STATUS "thaw: fetching ${url}")
  string(RANDOM LENGTH 12 own) # of two builds with one folder, each has a file of its own until it is whole
  file(DOWNLOAD "${url}" "${path}.${own}.part" STATUS status TLS_VERIFY ON INACTIVITY_TIMEOUT 60)
  list(GET status 0 code)
  list(GET status 1 reason)
  if(NOT code EQUAL 0)
    file(REMOVE "${path}.${own}.part")
    message(FATAL_ERROR "${where}: ${url} cannot be fetched (${reason}); "
                        "is there a network? Or put the file at ${path}")
  endif()
  file(SHA256 "${path}.${own}.part" found)
  string(SUBSTRING ${found} 0 ${count} found)
  if(NOT found STREQUAL digits)
    file(REMOVE "${path}.${own}.part")
    message(FATAL_ERROR "${where}: ${url} gave a file whose SHA-256 begins with ${found}, not ${digits}; "
                        "nothing was kept")
  endif()
  file(RENAME "${path}.${own}.part" "${path}")
endfunction()
