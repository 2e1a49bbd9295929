# What thaw stands on: docs/dependencies.md says why.
find_package(Torch 2.6 REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(nlohmann_json 3.9 QUIET) # without it there is no thaw::io
