# SPDX-License-Identifier: MIT
# Not run by the tests of this project, which look at its syntax alone.
import os

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy


class SocketserverConan(ConanFile):
    name = "socketserver"
    version = "0.2.0"
    license = "MIT"
    description = "Python's socketserver for C++20: TCP, UDP and Unix servers under any concurrency policy"
    topics = ("server", "network", "tcp", "udp")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False], "fiber": [True, False]}
    default_options = {"shared": False, "fPIC": True, "fiber": True}

    def export_sources(self):
        root = os.path.join(self.recipe_folder, "..", "..")
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "src/*", "tools/single/*"):
            copy(self, pattern, root, self.export_sources_folder)

    def configure(self):
        if self.options.shared:
            self.options.rm_safe("fPIC")

    def requirements(self):
        self.requires("fmt/[>=9]", transitive_headers=True)
        if self.options.fiber:
            self.requires("boost/[>=1.74]")

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("socketserver runs on Linux only")
        check_min_cppstd(self, 20)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["SOCKETSERVER_BUILD_TESTS"] = False
        toolchain.cache_variables["SOCKETSERVER_BUILD_EXAMPLES"] = False
        toolchain.cache_variables["SOCKETSERVER_BUILD_FIBER"] = "ON" if self.options.fiber else "OFF"
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        core = self.cpp_info.components["socketserver"]
        core.set_property("cmake_target_name", "socketserver::socketserver")
        core.libs = ["socketserver"]
        core.system_libs = ["pthread"]
        core.requires = ["fmt::fmt"]
        if not self.options.shared:
            core.defines = ["SOCKETSERVER_STATIC_DEFINE"]
        if self.options.fiber:
            fiber = self.cpp_info.components["fiber"]
            fiber.set_property("cmake_target_name", "socketserver::fiber")
            fiber.libs = ["socketserver_fiber"]
            fiber.system_libs = ["dl"]
            fiber.cxxflags = ["-fstack-clash-protection"]
            fiber.requires = ["socketserver", "boost::context"]
