# SPDX-License-Identifier: BSD-3-Clause
# Gloo's headers as the target ThawGloo::ThawGloo: LibTorch's own headers of its Gloo backend include them, but no LibTorch
# brings them. The library itself is in libtorch_cpu, where that was built with it.
find_path(ThawGloo_INCLUDE_DIR gloo/algorithm.h)
mark_as_advanced(ThawGloo_INCLUDE_DIR)
set(ThawGloo_IN_TORCH "")
if(TARGET torch_cpu)
  get_target_property(definitions torch_cpu INTERFACE_COMPILE_DEFINITIONS)
  if(USE_C10D_GLOO IN_LIST definitions)
    set(ThawGloo_IN_TORCH "yes")
  endif()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ThawGloo REQUIRED_VARS ThawGloo_INCLUDE_DIR ThawGloo_IN_TORCH)
if(ThawGloo_FOUND AND NOT TARGET ThawGloo::ThawGloo)
  add_library(ThawGloo::ThawGloo INTERFACE IMPORTED GLOBAL)
  target_include_directories(ThawGloo::ThawGloo INTERFACE ${ThawGloo_INCLUDE_DIR})
endif()
