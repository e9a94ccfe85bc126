// SPDX-License-Identifier: MIT
// What `./dev demo` runs: every transport under every policy, each server answering three clients
// over real sockets.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <socketserver/socketserver.hpp>
#include <unistd.h>

#include <array>
#include <cctype>
#include <exception>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace ss = socketserver;
using namespace std::chrono_literals;

namespace {

constexpr std::array words{"hello", "from", "socketserver"};  // one for each client

/// What every server here does: "hello" -> "HELLO", and which process and thread did it.
std::string answer_to(std::string text) {
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return fmt::format("{} {} {}", text, ::getpid(), ::gettid());
}
class UpperHandler : public ss::StreamRequestHandler {
    void handle() override {
        const std::string_view line = rfile().readline();
        wfile().write(answer_to(std::string{line.substr(0, line.find('\n'))}));
    }
};
class DatagramUpperHandler : public ss::DatagramRequestHandler {
    void handle() override { wfile().write(answer_to(rfile().read())); }
};

enum class By { serving_thread, other_thread, other_process, fiber };  // who ought to answer

struct Result {
    std::string came_back;
    std::set<int> processes, threads;
};

/// Three clients, all connected before the first is answered.
Result ask(const ss::Address& server, ss::SocketType type) {
    std::vector<ss::Socket> clients;
    for (std::string word : words) {
        clients.push_back(ss::create_connection(server, type, 10s));
        if (type == ss::SocketType::stream) word += '\n';
        clients.back().sendall(word);
    }
    Result result;
    for (ss::Socket& client : clients) {
        std::istringstream answer{type == ss::SocketType::stream ? ss::BufferedReader{client}.read()
                                                                 : client.recv(1024)};
        std::string word;
        int process = 0, thread = 0;
        answer >> word >> process >> thread;
        result.came_back += (result.came_back.empty() ? "" : " ") + word;
        result.processes.insert(process);
        result.threads.insert(thread);
        client.close();
    }
    return result;
}

class Demo {
  public:
    template <template <class> class MixIn>
    void show(std::string_view policy, By by) {
        const auto name = fmt::format("socketserver-demo-{}", ::getpid());
        const auto path = std::filesystem::temp_directory_path() / (name + ".sock");
        constexpr auto stream = ss::SocketType::stream, datagram = ss::SocketType::datagram;
        const ss::Address any_port{"127.0.0.1", 0};

        by_ = by;
        fmt::print("{:-<100}\n", "");
        row<ss::TCPServer<UpperHandler, MixIn>>(policy, "TCP", any_port, stream);
        row<ss::UDPServer<DatagramUpperHandler, MixIn>>("", "UDP", any_port, datagram);
        row<ss::UnixStreamServer<UpperHandler, MixIn>>("", "Unix stream", path.string(), stream);
        row<ss::UnixDatagramServer<DatagramUpperHandler, MixIn>>("", "Unix datagram", "@" + name,
                                                                 datagram);
    }

    static void header() {
        fmt::print("Each server answers three clients, who send it one word each.\n\n");
        fmt::print("{:<12} {:<14} {:<24} {:<24} {}\n", "policy", "transport", "sent", "came back",
                   "answered by");
    }
    int footer() const {
        fmt::print("{:-<100}\n{} of {} combinations answered\n", "", answered_, rows_);
        return answered_ == rows_ ? 0 : 1;
    }

  private:
    template <class Server>
    void row(std::string_view policy, std::string_view transport, const ss::Address& address,
             ss::SocketType type) {
        ++rows_;
        fmt::print("{:<12} {:<14} {:<24} ", policy, transport,
                   fmt::format("{}", fmt::join(words, " ")));
        std::fflush(stdout);
        try {
            Server server{address};
            std::jthread serving{[&](const std::stop_token& stop) {
                serving_thread_ = ::gettid();
                server.serve_forever(stop);
            }};
            const Result result = ask(server.server_address(), type);
            serving.request_stop();
            serving.join();
            const bool is_right = is_expected(result);
            if (is_right) ++answered_;
            fmt::print("{:<24} {}{}\n", result.came_back, who(result),
                       is_right ? "" : "  <- NOT AS EXPECTED");
        } catch (const std::exception& error) {
            fmt::print("FAILED: {}\n", error.what());
        }
    }

    bool is_expected(const Result& result) const {
        if (result.came_back != "HELLO FROM SOCKETSERVER") return false;
        if (by_ == By::other_process) return !result.processes.contains(::getpid());
        if (result.processes != std::set{::getpid()}) return false;
        if (by_ == By::fiber) return true;  // the serving thread runs fibers as well
        return result.threads.contains(serving_thread_) == (by_ == By::serving_thread);
    }

    std::string who(const Result& result) const {
        if (by_ == By::serving_thread) return "the serving thread";
        const bool in_processes = by_ == By::other_process;
        const std::set<int>& ids = in_processes ? result.processes : result.threads;
        return fmt::format("{}{}{} {}", by_ == By::fiber ? "fibers in " : "",
                           in_processes ? "process" : "thread",
                           ids.size() == 1 ? "" : (in_processes ? "es" : "s"), fmt::join(ids, " "));
    }

    By by_{};
    int rows_ = 0, answered_ = 0;
    int serving_thread_ = 0;
};

}  // namespace

int main() {
    Demo demo;
    Demo::header();
    demo.show<ss::SynchronousMixIn>("synchronous", By::serving_thread);
    demo.show<ss::ThreadingMixIn>("threading", By::other_thread);
    demo.show<ss::ForkingMixIn>("forking", By::other_process);
    demo.show<ss::ThreadPoolMixIn>("pool", By::other_thread);
    demo.show<ss::PreforkMixIn>("prefork", By::other_process);
#ifdef HAVE_FIBERS
    demo.show<ss::FiberMixIn>("fiber", By::fiber);
#endif
    return demo.footer();
}
