// SPDX-License-Identifier: MIT

// Datagram echo in Go: one goroutine, with the functions that allocate nothing.
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	address, err := net.ResolveUDPAddr("udp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	socket, err := net.ListenUDP("udp4", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("port", socket.LocalAddr().(*net.UDPAddr).Port)
	buffer := make([]byte, 64*1024)
	for {
		got, peer, err := socket.ReadFromUDPAddrPort(buffer)
		if err == nil {
			socket.WriteToUDPAddrPort(buffer[:got], peer)
		}
	}
}
