// SPDX-License-Identifier: MIT
#include <socketserver_single.hpp>  // as another header might have included it before

#define SOCKETSERVER_IMPLEMENTATION
#include <socketserver_single.hpp>
