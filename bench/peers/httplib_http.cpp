// SPDX-License-Identifier: MIT
// The files of a folder by cpp-httplib, with a line in a log for each request. A thread serves a
// connection until its end, so there are as many threads as the load has connections.
#include <httplib.h>

#include <cstdio>
#include <cstdlib>

#include "access_log.hpp"

int main(int argc, char** argv) {
    std::FILE* const log = argc == 4 ? std::fopen(argv[3], "a") : nullptr;
    if (log == nullptr) {
        std::fputs("usage: httplib_http <port> <folder> <log>\n", stderr);
        return 2;
    }
    httplib::Server server;
    server.new_task_queue = [] { return new httplib::ThreadPool(64); };
    server.set_keep_alive_max_count(1'000'000'000);
    server.set_mount_point("/", argv[2]);
    server.set_logger([log](const httplib::Request& request, const httplib::Response& response) {
        std::fprintf(log, "%s - - [%s] \"%s %s %s\" %d %zu\n", request.remote_addr.c_str(),
                     log_time().c_str(), request.method.c_str(), request.path.c_str(),
                     request.version.c_str(), response.status, response.body.size());
    });
    return server.listen("127.0.0.1", std::atoi(argv[1])) ? 0 : 1;
}
