// expect: use of deleted function|call to implicitly-deleted copy constructor
#include <socketserver/socketserver.hpp>

int main() {
    const socketserver::Socket socket;
    const socketserver::Socket copy = socket;
}
