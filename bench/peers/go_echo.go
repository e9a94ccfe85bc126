// SPDX-License-Identifier: MIT

// Line echo in Go: a goroutine per connection, buffered, Nagle off (Go's default). With a file that
// has a certificate and its key as second argument, over TLS.
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
)

func serve(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReader(connection)
	writer := bufio.NewWriter(connection)
	for {
		line, err := reader.ReadSlice('\n')
		if err == bufio.ErrBufferFull { // the start of a line that is longer than the buffer
			var rest []byte
			line = append([]byte{}, line...)
			rest, err = reader.ReadBytes('\n')
			line = append(line, rest...)
		}
		if err != nil {
			return
		}
		if _, err = writer.Write(line); err != nil {
			return
		}
		if reader.Buffered() > 0 {
			continue // pipelined lines are answered with one write
		}
		if writer.Flush() != nil {
			return
		}
	}
}

func listen(address string) (net.Listener, error) {
	if strings.HasPrefix(address, "/") || strings.HasPrefix(address, "@") {
		return net.Listen("unix", address)
	}
	return net.Listen("tcp", "127.0.0.1:"+address)
}

func main() {
	listener, err := listen(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); ok {
		fmt.Println("port", tcp.Port)
	} else {
		fmt.Println("ready")
	}
	if len(os.Args) > 2 {
		certificate, err := tls.LoadX509KeyPair(os.Args[2], os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		listener = tls.NewListener(listener,
			&tls.Config{Certificates: []tls.Certificate{certificate}})
	}
	for {
		connection, err := listener.Accept()
		if err == nil {
			go serve(connection)
		}
	}
}
