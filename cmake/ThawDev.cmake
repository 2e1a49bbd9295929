# SPDX-License-Identifier: BSD-3-Clause
# For thaw's own tests and examples only; users of thaw::thaw see none of it.
find_package(nlohmann_json 3.9 REQUIRED)
find_package(xxHash 0.8 REQUIRED)
set(THAW_DATA_DIR ${PROJECT_SOURCE_DIR}/.deps/data CACHE PATH "Where ./dev puts the weights and images it fetches")
set(THAW_PYTHON python3 CACHE STRING "A Python with torch and safetensors, for the tests labelled python")

add_library(thaw_dev INTERFACE)
# g++ 12 suspects LibTorch's intrusive_ptr of being uninitialised within std::optional. With more room for garbage (kB)
# it takes a seventh less time for an example, and 2.8 GB in place of 2.3.
target_compile_options(
  thaw_dev INTERFACE -Wall -Wextra -Wconversion -Wshadow
                     "$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;--param=ggc-min-heapsize=1500000>"
                     "$<$<CXX_COMPILER_ID:Clang>:-Wno-sign-conversion>") # which g++ does not count to -Wconversion
target_link_libraries(thaw_dev INTERFACE thaw::thaw thaw::io)
foreach(room IN ITEMS vision text) # a machine without their libraries tests the other rooms
  if(TARGET thaw::${room})
    target_link_libraries(thaw_dev INTERFACE thaw::${room})
  endif()
endforeach()
if(THAW_SANITIZE)
  target_compile_options(thaw_dev INTERFACE -fsanitize=${THAW_SANITIZE} -fno-sanitize-recover=undefined
                                            -fno-omit-frame-pointer)
  target_link_options(thaw_dev INTERFACE -fsanitize=${THAW_SANITIZE})
endif()
if(THAW_COVERAGE)
  target_compile_options(thaw_dev INTERFACE --coverage -fprofile-update=atomic) # Prefetch and checkpoints have threads
  target_link_options(thaw_dev INTERFACE --coverage)
endif()
if(THAW_SANITIZE OR THAW_COVERAGE)
  set(THAW_INSTRUMENTED ON) # a process starts slowly, and what other builds than this one do is of no interest
endif()

# One precompiled header for all: a file that includes LibTorch's headers takes 20-30 s to compile without, 4 s with.
# thaw_precompile(<name>): by the flags of this directory, whose executables have it from then on
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/thaw_pch.cpp CONTENT "") # left alone where it is there
function(thaw_precompile name)
  add_library(${name} OBJECT ${PROJECT_BINARY_DIR}/thaw_pch.cpp)
  target_link_libraries(${name} PUBLIC thaw_dev)
  target_precompile_headers(
    ${name}
    PRIVATE
    <torch/nn/module.h>
    <torch/nn/modules/activation.h>
    <torch/nn/modules/batchnorm.h>
    <torch/nn/modules/container/any.h>
    <torch/nn/modules/container/sequential.h>
    <torch/nn/modules/conv.h>
    <torch/nn/modules/dropout.h>
    <torch/nn/modules/linear.h>
    <torch/nn/modules/pooling.h>
    <torch/optim/adamw.h>
    <torch/optim/sgd.h>
    <torch/serialize.h>
    <fmt/format.h>)
  if(THAW_SANITIZE) # and thaw itself: other builds tell whether the tests include what they use
    target_precompile_headers(${name} PRIVATE <thaw/thaw.hpp> <thaw/checkpoint/resume.hpp>)
    target_compile_definitions(${name} PRIVATE THAW_COMPILED) # as all its users
  endif()
  set(thaw_precompiled ${name} PARENT_SCOPE)
endfunction()
thaw_precompile(thaw_pch)

# thaw::compiled as thaw's own tests link it: with their warnings and sanitizers
target_link_libraries(thaw_compiled PRIVATE thaw_dev)

# thaw_executable(<name> SOURCES <file>... [LINK <library>...])
function(thaw_executable name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE thaw_dev ${arg_LINK})
  if(THAW_SANITIZE) # as the precompiled header
    target_link_libraries(${name} PRIVATE thaw::compiled)
  endif()
  target_precompile_headers(${name} REUSE_FROM ${thaw_precompiled})
endfunction()
