// SPDX-License-Identifier: MIT
#include <socketserver/socketserver.hpp>
