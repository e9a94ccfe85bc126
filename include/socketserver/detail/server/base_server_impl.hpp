// SPDX-License-Identifier: MIT
#pragma once

// The members of BaseServer. They are separate from the declaration, so that the declaration reads
// as an overview.

#include <type_traits>

#include "socketserver/base_server.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/os/forced_unwind.hpp"
#include "socketserver/detail/request/connection.hpp"
#include "socketserver/detail/request/introduction.hpp"
#include "socketserver/detail/server/get_request.hpp"
#include "socketserver/detail/server/report.hpp"

namespace socketserver {

template <class Handler, template <class> class MixIn>
bool BaseServer<Handler, MixIn>::serve_request(Request& request, const Address& accepted_from,
                                               const detail::ServerPin* pin) {
    const detail::ServerMark mark{static_cast<const ServerBase*>(this), request};
    detail::note_served(detail::record_of(request));
    bool served = true;
    Address client_address;
    try {
        client_address = accepted_from;  // inside of the try block: this may throw
        if (options().proxy_protocol == ProxyProtocol::off || introduce(request, client_address)) {
            prepare_request(request, client_address);
            finish_request(request, client_address);
        }
    } catch (...) {
        detail::rethrow_forced_unwind();  // pthread_cancel(): the owner of the request closes it
        served = false;
        const Address& client = client_address.empty() ? accepted_from : client_address;
        detail::note_failure(request, std::current_exception());
        if (pin != nullptr && !*pin) {
            detail::report_request_error(request, client, std::current_exception());
        } else {
            call_handle_error(request, client, std::current_exception());
        }
    }
    if (pin == nullptr || *pin) call_shutdown_request(request, client_address);
    return served;
}

/// Reads the header of the PROXY protocol, if the options ask for one. Returns false if the request
/// is to be ended in order without being served.
template <class Handler, template <class> class MixIn>
bool BaseServer<Handler, MixIn>::introduce(Request& request, Address& client_address) {
    if constexpr (std::is_same_v<Request, Socket>) {
        const detail::Introduction came = detail::read_proxy_header(request, client_address);
        if (came != detail::Introduction::refused) return came == detail::Introduction::done;
        constexpr auto cause = RefuseCause::max_connections_per_address;
        count_refused(detail::record_of(request), cause);
        if (options().overload == Overload::reset) detail::reset_on_close(request);
        refuse_request(request, client_address, cause);
        return false;
    }
    return true;
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::fail_request(Request& request, const Address& client_address,
                                              std::exception_ptr error) {
    detail::note_failure(request, error);
    call_handle_error(request, client_address, error);
    call_shutdown_request(request, client_address);
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::release_request(Request& request, const Address& client_address) {
    try {
        close_request(request);
    } catch (...) {
        call_handle_error(request, client_address, std::current_exception());
    }
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::process_request(Request&& request, const Address& client_address) {
    static_assert(
        requires { this->dispatch(std::move(request), client_address); },
        "the policy (MixIn) of this server has no dispatch(request, client_address)");
    Address copy{client_address};  // may throw, so it comes before the request is moved
    this->dispatch(std::move(request), std::move(copy));
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::prepare_request(Request& /*request*/,
                                                 Address& /*client_address*/) {}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::finish_request(Request& request, const Address& client_address) {
    Handler handler = factory_();
    detail::HandlerAccess::run(handler, request, client_address, this);
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::handle_error(Request& request, const Address& client_address,
                                              std::exception_ptr error) {
    detail::report_request_error(request, client_address, error);
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::shutdown_request(Request& request) {
    detail::end_output(request);
    close_request(request);
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::close_request(Request& request) {
    detail::close_connection(request);
}

template <class Handler, template <class> class MixIn>
detail::Turn BaseServer<Handler, MixIn>::serve_one() {
    detail::NewPlace place;
    if (!take_place(place)) return detail::Turn::later;
    try {
        std::optional<std::pair<Request, Address>> incoming = get_request();
        if (!incoming) return detail::Turn::nothing;
        admit(place, incoming->first, incoming->second);
    } catch (...) {
        detail::rethrow_forced_unwind();
        return accept_failed(std::current_exception());
    }
    return detail::Turn::took;
}

/// Does not throw: a failure ends this request only.
template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::admit(detail::Place& place, Request& request,
                                       const Address& client_address) {
    int descriptor = -1;
    if constexpr (std::is_same_v<Request, Socket>) descriptor = request.fileno();
    try {
        detail::ConnectionHandle& record = detail::record_of(request);
        open_connection(record, place, client_address, descriptor);
        if (place.refused) {
            if (options().overload == Overload::reset) detail::reset_on_close(request);
            refuse(request, client_address, *place.refused);
        } else if (!verify_request(std::as_const(request), client_address)) {
            count_refused(record, RefuseCause::verify_request);
            call_shutdown_request(request, client_address);
        } else if (const Admission admission = static_cast<Policy&>(*this).mixin_takes();
                   admission != Admission::take) {
            if (admission == Admission::reset) detail::reset_on_close(request);
            refuse(request, client_address, RefuseCause::policy_full);
        } else {
            announce_opened(record);
            process_request(std::move(request), client_address);
        }
    } catch (...) {
        detail::rethrow_forced_unwind();
        fail_request(request, client_address, std::current_exception());
    }
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::refuse(Request& request, const Address& client_address,
                                        RefuseCause cause) noexcept {
    count_refused(detail::record_of(request), cause);
    try {
        refuse_request(request, client_address, cause);
    } catch (...) {
        call_handle_error(request, client_address, std::current_exception());
    }
    release_request(request, client_address);
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::call_handle_error(Request& request, const Address& client_address,
                                                   std::exception_ptr error) noexcept {
    try {
        handle_error(request, client_address, error);
    } catch (...) {
        report_server_error(std::current_exception());
    }
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::call_shutdown_request(Request& request,
                                                       const Address& client_address) noexcept {
    try {
        shutdown_request(request);
    } catch (...) {
        call_handle_error(request, client_address, std::current_exception());
    }
    // The connection is closed here in any case, whatever an override has done.
    if constexpr (std::is_same_v<Request, Socket>) {
        if (request.is_open()) detail::close_connection(request);
    }
    announce_closed(std::move(detail::record_of(request)));
}

}  // namespace socketserver
