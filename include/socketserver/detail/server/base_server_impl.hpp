// SPDX-License-Identifier: MIT
#pragma once

// The members of BaseServer, apart from its declaration so that it reads as an overview.

#include "socketserver/base_server.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/os/forced_unwind.hpp"
#include "socketserver/detail/request/record_access.hpp"
#include "socketserver/detail/request/reset_on_close.hpp"
#include "socketserver/detail/server/get_request.hpp"
#include "socketserver/detail/server/report.hpp"

namespace socketserver {

namespace detail {

inline void shutdown_transport(Socket& request) noexcept { end_output(request); }
inline void shutdown_transport(Datagram&) noexcept {}

inline void close_transport(Socket& request) noexcept {
    if (request.is_open()) close_connection(request);
}
inline void close_transport(Datagram&) noexcept {}

}  // namespace detail

template <class Handler, template <class> class MixIn>
bool BaseServer<Handler, MixIn>::serve_request(Request& request, const Address& accepted_from) {
    const detail::ServerMark mark{static_cast<const ServerBase*>(this), &detail::Current::request,
                                  detail::RecordAccess::datagram(request)};
    // Asked while the server is known to be there; null unless it may go while the handler runs.
    const detail::ServerPin* const pin = detail::ServerPin::of_request(*link());
    bool served = true;
    Address client_address;
    try {
        client_address = accepted_from;  // in here: a copy may fail for lack of memory
        prepare_request(request, client_address);
        finish_request(request, client_address);
    } catch (const detail::ForcedUnwind&) {
        throw;  // pthread_cancel: whoever owns the request closes it
    } catch (...) {
        served = false;
        const Address& client = client_address.empty() ? accepted_from : client_address;
        detail::note_failure(detail::RecordAccess::of(request), std::current_exception(),
                             detail::RecordAccess::peer_gone(request));
        if (pin != nullptr && !*pin) {
            detail::report_request_error(request, client, std::current_exception());
        } else {
            call_handle_error(request, client, std::current_exception());
        }
    }
    if (pin == nullptr || *pin) call_shutdown_request(request, client_address);
    return served;
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::fail_request(Request& request, const Address& client_address,
                                              std::exception_ptr error) {
    detail::note_failure(detail::RecordAccess::of(request), error,
                         detail::RecordAccess::peer_gone(request));
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
    Address copy{client_address};  // may throw; nothing does once the request has been moved
    this->dispatch(std::move(request), std::move(copy));
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::finish_request(Request& request, const Address& client_address) {
    const detail::ServerLink* server = link().get();
    detail::ServerPin* const pin = detail::ServerPin::of_request(*server);
    Handler handler = factory_();
    const detail::ServerPin::Pause pause{pin};
    detail::HandlerAccess::run(handler, request, client_address, server, pin != nullptr);
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::handle_error(Request& request, const Address& client_address,
                                              std::exception_ptr error) {
    detail::report_request_error(request, client_address, error);
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::shutdown_request(Request& request) {
    detail::shutdown_transport(request);
    close_request(request);
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::close_request(Request& request) {
    detail::close_transport(request);
}

template <class Handler, template <class> class MixIn>
detail::Turn BaseServer<Handler, MixIn>::serve_one() {
    std::optional<detail::Permit> permit = ask_permit();
    if (!permit) return detail::Turn::later;
    std::optional<std::pair<Request, Address>> incoming;
    try {
        incoming = get_request();
    } catch (...) {
        give_back(*permit);
        return accept_failed(std::current_exception());
    }
    if (!incoming) {
        give_back(*permit);
        return detail::Turn::nothing;
    }
    accept_succeeded();
    auto& [request, client_address] = *incoming;
    using Record = detail::RecordAccess;
    try {
        Record::attach(request, open_connection(*permit, client_address, Record::fileno(request)));
        if (permit->refused) {
            if (options().overload == Overload::reset) detail::reset_on_close(request);
            refuse(request, client_address, *permit->refused);
        } else if (!verify_request(request, client_address)) {
            count_refused(Record::of(request), RefuseCause::verify_request);
            call_shutdown_request(request, client_address);
        } else if (const Admission admission = static_cast<Policy&>(*this).mixin_takes();
                   admission != Admission::take) {
            if (admission == Admission::reset) detail::reset_on_close(request);
            refuse(request, client_address, RefuseCause::policy_full);
        } else {
            announce_opened(Record::of(request));
            process_request(std::move(request), client_address);
        }
    } catch (const detail::ForcedUnwind&) {
        throw;
    } catch (...) {
        fail_request(request, client_address, std::current_exception());
        give_back(*permit);  // nothing, unless memory for the connection could not be had
    }
    return detail::Turn::took;
}

template <class Handler, template <class> class MixIn>
void BaseServer<Handler, MixIn>::refuse(Request& request, const Address& client_address,
                                        RefuseCause cause) noexcept {
    count_refused(detail::RecordAccess::of(request), cause);
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
    // Whatever an override did or forgot: here a connection ends.
    detail::close_transport(request);
    announce_closed(detail::RecordAccess::take(request));
}

}  // namespace socketserver
