// SPDX-License-Identifier: MIT

// The files of a folder by net/http, with a line in a log for each request.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

type recorder struct {
	http.ResponseWriter
	status int
	size   int64
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Go sends a file by sendfile(2) only if the writer has this function.
func (r *recorder) ReadFrom(source io.Reader) (int64, error) {
	size, err := r.ResponseWriter.(io.ReaderFrom).ReadFrom(source)
	r.size += size
	return size, err
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go_http <port> <folder> <log>")
		os.Exit(2)
	}
	file, err := os.OpenFile(os.Args[3], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	var mutex sync.Mutex
	log := bufio.NewWriter(file)
	files := http.FileServer(http.Dir(os.Args[2]))
	handler := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		recorded := &recorder{ResponseWriter: writer, status: 200}
		files.ServeHTTP(recorded, request)
		host, _, _ := net.SplitHostPort(request.RemoteAddr)
		mutex.Lock()
		fmt.Fprintf(log, "%s - - [%s] \"%s %s %s\" %d %d\n", host,
			time.Now().Format("02/Jan/2006:15:04:05 -0700"), request.Method, request.RequestURI,
			request.Proto, recorded.status, recorded.size)
		mutex.Unlock()
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], handler))
}
