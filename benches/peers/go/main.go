// The workloads in Go, as one program: `peer WORKLOAD ARGUMENTS...`.
//
// It says that it is there, and on what port it listens if it is a server. Each line on standard input is a number of
// operations. They are done, and the answer is one line of JSON: the result, and what this process has used so far. The
// end of the input is the end of the program.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// workloads are entered by the files that hold them. A workload does that many operations and returns the sum, or
// count, by which the harness checks them.
var workloads = map[string]func(ops int, args []int) int{}

// servers are entered by the files that hold them. A server returns the port that it listens on.
var servers = map[string]func(args []int) int{}

func main() {
	args := []int{}
	for _, arg := range os.Args[2:] {
		number, err := strconv.Atoi(arg)
		check(err)
		args = append(args, number)
	}
	run, port := func(int) int { return 0 }, 0
	if workload, found := workloads[os.Args[1]]; found {
		run = func(ops int) int { return workload(ops, args) }
	} else if server, found := servers[os.Args[1]]; found {
		port = server(args)
	} else {
		panic("no workload " + os.Args[1])
	}
	fmt.Printf("{\"port\":%d}\n", port)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		ops, err := strconv.Atoi(lines.Text())
		check(err)
		result := run(ops)
		fmt.Printf("{\"result\":%d,\"cpu_ns\":%d,\"peak_rss_kib\":%d,\"rss_kib\":%d}\n",
			result, cpuTime(), status("VmHWM:"), status("VmRSS:"))
	}
}

// cpuTime is the user and system time of all threads, in nanoseconds.
func cpuTime() int64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// status is a field of the kernel's account of this process, in KiB: VmHWM is the most memory that was resident, VmRSS
// what is now.
func status(field string) int {
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	_, rest, _ := strings.Cut(string(status), field)
	number, err := strconv.Atoi(strings.Fields(rest)[0])
	check(err)
	return number
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
