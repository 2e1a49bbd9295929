# SPDX-License-Identifier: BSD-3-Clause
# NCCL's header as the target ThawNccl::ThawNccl, where LibTorch has NCCL: LibTorch's own header of that backend includes
# it. It has to be of the version that LibTorch was built with, as the one beside PyTorch's wheel is; NCCL_ROOT names
# another place.
find_path(ThawNccl_INCLUDE_DIR nccl.h HINTS ${NCCL_ROOT} ENV NCCL_ROOT ${TORCH_INSTALL_PREFIX}/../nvidia/nccl
          PATH_SUFFIXES include)
mark_as_advanced(ThawNccl_INCLUDE_DIR)
set(ThawNccl_IN_TORCH "")
if(TARGET torch_cuda)
  get_target_property(definitions torch_cuda INTERFACE_COMPILE_DEFINITIONS)
  if(USE_C10D_NCCL IN_LIST definitions)
    set(ThawNccl_IN_TORCH "yes")
  endif()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ThawNccl REQUIRED_VARS ThawNccl_INCLUDE_DIR ThawNccl_IN_TORCH)
if(ThawNccl_FOUND AND NOT TARGET ThawNccl::ThawNccl)
  add_library(ThawNccl::ThawNccl INTERFACE IMPORTED GLOBAL)
  target_include_directories(ThawNccl::ThawNccl INTERFACE ${ThawNccl_INCLUDE_DIR})
endif()
