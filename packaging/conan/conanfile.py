# SPDX-License-Identifier: BSD-3-Clause
"""conan create packaging/conan: thaw, from the checkout that this recipe lies in.

LibTorch is no requirement of the recipe, so that any LibTorch from 2.6 on serves: Torch_DIR or CMAKE_PREFIX_PATH name
it, as they do without Conan. thaw::distributed takes Gloo's headers from the system.
"""
import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeToolchain
from conan.tools.files import copy, load

required_conan_version = ">=2.0"


class Thaw(ConanFile):
    name = "thaw"
    description = "Staged fine-tuning on LibTorch: a header-only C++20 library"
    license = "BSD-3-Clause"
    topics = ("fine-tuning", "transfer-learning", "libtorch", "pytorch", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"io": [True, False], "vision": [True, False], "text": [True, False]}  # libraries of that component
    default_options = {"io": False, "vision": False, "text": False, "fmt/*:header_only": True}
    no_copy_source = True

    def set_version(self):
        header = load(self, os.path.join(self.recipe_folder, "../../include/thaw/core/version.hpp"))
        self.version = re.search('version = "(.*?)"', header)[1]

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*"):
            copy(self, pattern, os.path.join(self.recipe_folder, "../.."), self.export_sources_folder)

    def requirements(self):
        self.requires("fmt/[>=9 <13]")
        if self.options.io:
            self.requires("nlohmann_json/[>=3.9 <4]")
            self.requires("xxhash/[>=0.8 <1]")
        if self.options.vision:
            self.requires("opencv/[>=4 <5]")
        if self.options.text:
            self.requires("icu/[>=66]")

    def validate(self):
        if self.settings.get_safe("compiler.cppstd"):
            check_min_cppstd(self, 20)

    def package_id(self):
        self.info.clear()  # the same headers for every compiler and option

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["THAW_BUILD_TESTS"] = False
        toolchain.cache_variables["THAW_BUILD_EXAMPLES"] = False
        toolchain.generate()

    def build(self):
        CMake(self).configure()

    def package(self):
        CMake(self).install()

    def package_info(self):
        self.cpp_info.set_property("cmake_find_mode", "none")  # thaw's own package has the targets
        self.cpp_info.builddirs = ["share/cmake/thaw"]
        self.cpp_info.bindirs = self.cpp_info.libdirs = []
