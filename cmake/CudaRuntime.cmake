# SPDX-License-Identifier: BSD-3-Clause
# For a LibTorch that was built with CUDA:  cmake -DCMAKE_PROJECT_INCLUDE=<this file> -DTorch_DIR=...
# Its CMake package wants a whole CUDA toolkit, so that CUDA code can be compiled. thaw has none: the runtime and its
# headers will do, which PyTorch's wheels bring. Where torch::cudart is there already the package looks no further.
if(TARGET torch::cudart OR NOT Torch_DIR)
  return()
endif()
get_filename_component(wheels ${Torch_DIR}/../../../.. ABSOLUTE) # site-packages
set(toolkit $ENV{CUDA_HOME})
if(NOT toolkit)
  set(toolkit /usr/local/cuda)
endif()
file(GLOB cudart ${wheels}/nvidia/*/lib/libcudart.so.* ${toolkit}/lib64/libcudart.so)
if(NOT cudart)
  message(STATUS "thaw: no CUDA runtime beside ${Torch_DIR}, nor in ${toolkit}")
  return()
endif()
list(GET cudart 0 cudart)
file(GLOB headers ${wheels}/nvidia/*/include)
if(IS_DIRECTORY ${toolkit}/include)
  list(APPEND headers ${toolkit}/include)
endif()
message(STATUS "thaw: the CUDA runtime is ${cudart}")
add_library(torch::cudart INTERFACE IMPORTED GLOBAL)
target_link_libraries(torch::cudart INTERFACE ${cudart})
target_include_directories(torch::cudart SYSTEM INTERFACE ${headers})
