# SPDX-License-Identifier: BSD-3-Clause
# Checks the layering of the headers:  cmake [-DTHAW_INCLUDE_DIR=<dir>] -P cmake/CheckRooms.cmake
# Every #include under include/thaw must be a dependency that the table below allows; each one that is not is named
# with its file and line.
cmake_minimum_required(VERSION 3.25)

# Who may include whom: X also sees what its targets see, and itself.
set(dependencies
    "core        ->"
    "schedule    -> core"
    "groups      -> schedule core"
    "optim       -> groups"
    "find        -> groups schedule"
    "data        -> core"
    "recompute   -> core"
    "train       -> schedule groups optim find data"
    "recipe      -> train"
    "weights     -> core"
    "models      -> core"
    "checkpoint  -> train weights"
    "report      -> train find schedule"
    "distributed -> train"
    "vision      -> data report models weights"
    "text        -> data"
    # the umbrella, thaw.hpp: all of thaw::thaw
    "thaw.hpp    -> schedule groups optim find data train models report recompute")

# What costs a user another library, and the rooms that may ask for it.
set(libraries "nlohmann/ -> weights checkpoint" "xxhash -> weights checkpoint" "opencv2/ -> vision" "unicode/ -> text"
              "torch/csrc/distributed/ -> distributed")

string(CONCAT torch_free "^(schedule/|find/(suggest|lr_curve)\\.hpp|train/stage\\.hpp|"
       "groups/(freeze_(policy|combine)|gradual_unfreeze|rates)\\.hpp|report/schedule_plot\\.hpp)")
set(torch_header "^(torch|ATen|c10|caffe2)/")
set(forbidden_header "^torch/(torch|all|extension)\\.h$")
set(max_lines 350)

if(NOT DEFINED THAW_INCLUDE_DIR)
  set(THAW_INCLUDE_DIR ${CMAKE_CURRENT_LIST_DIR}/../include)
endif()
get_filename_component(include_dir ${THAW_INCLUDE_DIR} ABSOLUTE)

# A room stands in the table below all that it sees, so the table cannot spell a cycle.
foreach(dependency IN LISTS dependencies)
  string(REGEX MATCHALL "[a-z.]+" targets "${dependency}")
  list(POP_FRONT targets room)
  list(APPEND rooms ${room})
  set(seen_by_${room} ${room})
  foreach(target IN LISTS targets)
    if(NOT target IN_LIST rooms)
      message(FATAL_ERROR "the table of dependencies must name ${target} before ${room}")
    endif()
    list(APPEND seen_by_${room} ${seen_by_${target}})
  endforeach()
  list(REMOVE_DUPLICATES seen_by_${room})
endforeach()

set(violations 0)
function(violation where what)
  message("include/thaw/${where}: ${what}")
  math(EXPR count "${violations} + 1")
  set(violations ${count} PARENT_SCOPE)
endfunction()

function(room_of file result)
  string(REGEX REPLACE "/.*" "" room ${file})
  set(${result} ${room} PARENT_SCOPE)
endfunction()

# Reads one header: lines_<file>, includes_<file> as "<line>|<name>", thaw's own names relative to include/thaw.
function(read_header file)
  file(READ ${include_dir}/thaw/${file} text)
  string(REGEX REPLACE "[][;\\]" " " text "${text}") # characters that would break a CMake list
  string(REPLACE "\n" ";" text "${text}")
  set(line 0)
  set(includes "")
  get_filename_component(folder thaw/${file} DIRECTORY)
  foreach(content IN LISTS text)
    math(EXPR line "${line} + 1")
    if(content MATCHES "^[ \t]*#[ \t]*include[ \t]*([<\"])([^>\"]+)[>\"]")
      set(name "${CMAKE_MATCH_2}")
      if(CMAKE_MATCH_1 STREQUAL "\"" AND NOT name MATCHES "^thaw/")
        cmake_path(SET name NORMALIZE "${folder}/${name}")
      endif()
      list(APPEND includes "${line}|${name}")
    endif()
  endforeach()
  math(EXPR line "${line} - 1") # what follows the last newline is no line
  if(text MATCHES "^// SPDX-License-Identifier: ")
    math(EXPR line "${line} - 1") # nor does the licence count
  endif()
  set(lines_${file} ${line} PARENT_SCOPE)
  set(includes_${file} "${includes}" PARENT_SCOPE)
endfunction()

# Sets path to "a.hpp -> b.hpp -> torch/c.h" if the header reaches LibTorch through thaw's own headers, else to "".
function(path_to_torch file)
  if(DEFINED path_from_${file})
    set(path "${path_from_${file}}" PARENT_SCOPE)
    return()
  endif()
  set(path_from_${file} "") # ends a cycle of headers
  set(found "")
  foreach(include IN LISTS includes_${file})
    string(REGEX REPLACE "^[0-9]+\\|" "" name "${include}")
    if(name MATCHES "${torch_header}")
      set(found "${name}")
    elseif(name MATCHES "^thaw/(.*)")
      path_to_torch("${CMAKE_MATCH_1}")
      set(found "${path}")
    endif()
    if(found)
      string(PREPEND found "${file} -> ")
      break()
    endif()
  endforeach()
  set(path "${found}" PARENT_SCOPE)
endfunction()

file(GLOB_RECURSE headers RELATIVE ${include_dir}/thaw ${include_dir}/thaw/*)
foreach(file IN LISTS headers)
  read_header(${file})
endforeach()

foreach(file IN LISTS headers)
  room_of(${file} room)
  if(NOT room IN_LIST rooms)
    violation(${file}:1 "there is no room '${room}'; the rooms are listed in cmake/CheckRooms.cmake")
    continue()
  endif()
  if(lines_${file} GREATER max_lines)
    violation(${file}:${lines_${file}} "${lines_${file}} lines; a header has at most ${max_lines}")
  endif()
  foreach(include IN LISTS includes_${file})
    string(REGEX MATCH "^([0-9]+)\\|(.*)" match "${include}")
    set(where ${file}:${CMAKE_MATCH_1})
    set(name "${CMAKE_MATCH_2}")
    if(name MATCHES "${forbidden_header}")
      violation(${where} "<${name}> takes 30 s to compile: include the lightest header that has what you need")
    elseif(name MATCHES "^thaw/(.*)")
      room_of(${CMAKE_MATCH_1} target)
      if(NOT target IN_LIST seen_by_${room})
        string(REPLACE ";" ", " may "${seen_by_${room}}")
        violation(${where} "${name}: the table allows no dependency ${room} -> ${target}; ${room} may include ${may}")
      elseif(name MATCHES "/detail/" AND NOT room STREQUAL target)
        violation(${where} "${name}: detail/ is for ${target} alone, and this is ${room}")
      endif()
    endif()
    foreach(library IN LISTS libraries)
      string(REGEX MATCHALL "[a-z0-9/]+" allowed_rooms "${library}")
      list(POP_FRONT allowed_rooms library)
      if(name MATCHES "^${library}" AND NOT room IN_LIST allowed_rooms)
        string(REPLACE ";" " and " allowed_rooms "${allowed_rooms}")
        violation(${where} "<${name}> costs users a library: it is for ${allowed_rooms} alone, and this is ${room}")
      endif()
    endforeach()
  endforeach()
  if(file MATCHES "${torch_free}")
    path_to_torch(${file})
    if(path)
      violation(${file}:1 "knows no torch, yet: ${path}")
    endif()
  endif()
endforeach()

list(LENGTH headers count)
if(violations GREATER 0)
  message(FATAL_ERROR "${violations} violations in ${count} headers")
elseif(count EQUAL 0)
  message(FATAL_ERROR "no headers under ${include_dir}/thaw")
endif()
message(STATUS "rooms: ${count} headers, layered as the table says")
