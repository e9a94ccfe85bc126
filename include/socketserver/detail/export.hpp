// SPDX-License-Identifier: MIT
#pragma once

#ifndef __linux__
#    error "socketserver runs on Linux only: it is built on epoll, eventfd, futexes and pidfds"
#endif

// Marks what a shared build of the library makes visible; a static build needs no mark.
#if defined(SOCKETSERVER_STATIC_DEFINE)
#    define SOCKETSERVER_EXPORT
#else
#    define SOCKETSERVER_EXPORT __attribute__((visibility("default")))
#endif
