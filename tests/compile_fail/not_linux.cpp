// expect: socketserver runs on Linux only
#undef __linux__
#include <socketserver/socketserver.hpp>

int main() {}
