# Read by ctest where the tests run in qemu-user: which of them that emulator (7.2, of Debian 12) cannot run, and why.
# ctest lists them as disabled; docs/reliability.md says the same in short.

# cannot(<why> <name of a test>...)
function(cannot why)
    set_tests_properties(${ARGN} PROPERTIES DISABLED TRUE)
endfunction()

cannot("It does not know the socket options of multicast by interface."
    [=[multicast/a socket receives a group from joining it to leaving it]=]
    [=[multicast/a socket receives no group that only another one has joined]=]
    [=[multicast/a source-specific membership receives that source]=]
    [=[multicast/a socket on "::" joins groups of both versions, and the loop may be closed]=]
    [=[multicast/a handler sees which group a datagram was sent to, and its reply comes from a host]=]
    [=[multicast/what is wrong with a membership is said with the name of the group]=]
    [=[multicast/an interface may be named by its number]=])
cannot("It does not know SO_RXQ_OVFL, by which the kernel tells what it dropped."
    [=[datagram_statistics/what the kernel dropped, and what the server received, is what was sent]=]
    [=[datagram_statistics/sessions: what the kernel dropped of their first datagrams is counted]=])
cannot("It does not know PR_SET_CHILD_SUBREAPER."
    [=[worker_set/workers end when the parent dies, and finish what they serve]=]
    [=[worker_set/workers end when the parent dies, although another child of it lives]=])
cannot("It does not know seccomp, whose filters name the calls of the machine's own processor besides."
    [=[refused_calls/servers work where the kernel refuses a newer call]=])
cannot("It prints a line of its own to stderr when SIGSEGV ends the program."
    [=[fiber_faults/a handler that was installed for one fault is called for one fault]=])

# It computes many times as slowly.
set_tests_properties([=[reply_guard/when sources push others out, nobody gets more than it may]=] PROPERTIES TIMEOUT 600)
set_tests_properties([=[tls/one thread receives while another sends, much and in both directions at once]=] PROPERTIES
    TIMEOUT 600 ENVIRONMENT SOCKETSERVER_TEST_TIME_FACTOR=5)
