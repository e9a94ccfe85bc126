// SPDX-License-Identifier: MIT
// The version of the library: the build and the packages read it here, there is no other copy.
#pragma once

#define SOCKETSERVER_VERSION_MAJOR 0
#define SOCKETSERVER_VERSION_MINOR 2
#define SOCKETSERVER_VERSION_PATCH 0
