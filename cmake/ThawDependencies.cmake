# What thaw stands on. thaw::thaw needs Torch and fmt; thaw::io adds nlohmann_json.
find_package(Torch 2.6 REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(nlohmann_json 3.9 REQUIRED)
