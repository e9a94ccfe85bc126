// SPDX-License-Identifier: MIT
#pragma once

#include <exception>

#include "socketserver/socketserver.hpp"

namespace socketserver::tests {

/// A server that prints nothing about requests which fail: for tests whose clients or networks make
/// them fail.
template <class Base>
class Quiet : public Base {
  public:
    using Base::Base;
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;
    ~Quiet() override { this->server_close(); }

  protected:
    void handle_error(typename Base::Request&, const Address&, std::exception_ptr) override {}
};

}  // namespace socketserver::tests
