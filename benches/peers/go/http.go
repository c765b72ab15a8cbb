package main

import (
	"bytes"
	"net"
	"os"
	"syscall"
	"time"
)

func init() { servers["http"] = listen }

// hello is the whole response, as the other servers write it.
const hello = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!"

// listen: one goroutine for each connection. It finds the end of a request and its path, which is less than the parser
// of the other servers does; net/http would do far more than that.
func listen([]int) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() {
		for {
			conn, err := listener.Accept()
			check(err)
			go talk(conn)
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

func talk(conn net.Conn) {
	defer conn.Close()
	input, received := make([]byte, 1024), 0
	for received < 8192 {
		if received == len(input) {
			input = append(input, make([]byte, received)...)
		}
		count, err := conn.Read(input[received:])
		if err != nil {
			return
		}
		received += count
		output := []byte{}
		for {
			end := bytes.Index(input[:received], []byte("\r\n\r\n"))
			if end < 0 {
				break
			}
			output = append(output, respond(input[:end])...)
			received = copy(input, input[end+4:received])
		}
		if len(output) > 0 {
			if _, err := conn.Write(output); err != nil {
				return
			}
		}
	}
}

func respond(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("GET / HTTP/1.1\r\n")):
		return hello
	case bytes.HasPrefix(head, []byte("GET /work HTTP/1.1\r\n")):
		compute()
		return hello
	case bytes.HasPrefix(head, []byte("GET /block HTTP/1.1\r\n")):
		// time.Sleep would only park the goroutine.
		pause := syscall.NsecToTimespec(unfair.Nanoseconds())
		syscall.Nanosleep(&pause, nil)
		return hello
	}
	return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
}

// unfair is for how long /work computes and /block blocks its thread.
const unfair = 5 * time.Millisecond

// spins is how many rounds of computing take that long; found out before the first connection is there.
var spins = calibrate()

// sink keeps the compiler from leaving the computation out.
var sink uint64

func spin(rounds int) {
	x := uint64(1)
	for ; rounds > 0; rounds-- {
		x = x*6364136223846793005 + 1442695040888963407
	}
	sink = x
}

// calibrate finds how many rounds take the time in the best of some tries. A goroutine has no CPU clock of its own.
func calibrate() int {
	if len(os.Args) < 2 || os.Args[1] != "http" {
		return 0
	}
	const rounds = 1_000_000
	best := time.Hour
	for try := 0; try < 10; try++ {
		start := time.Now()
		spin(rounds)
		if took := time.Since(start); took < best {
			best = took
		}
	}
	return int(float64(rounds) * float64(unfair) / float64(best))
}

func compute() { spin(spins) }
