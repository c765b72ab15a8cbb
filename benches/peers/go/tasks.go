package main

import "runtime"

func init() {
	workloads["yield"] = yield
	workloads["spawn"] = spawn
	workloads["tree"] = trees
}

// yield: goroutines that do nothing but give way to each other. Arguments: how many.
func yield(ops int, args []int) int {
	counts := make(chan int)
	for task := 0; task < args[0]; task++ {
		go func() {
			done := 0
			for ; done < ops/args[0]; done++ {
				runtime.Gosched()
			}
			counts <- done
		}()
	}
	return sum(counts, args[0])
}

// spawn: goroutines that end at once, in batches. Arguments: the size of a batch.
func spawn(ops int, args []int) int {
	total := 0
	for batch := 0; batch < ops/args[0]; batch++ {
		// Room for all: no goroutine waits.
		results := make(chan int, args[0])
		for number := 0; number < args[0]; number++ {
			go func(number int) { results <- number }(number)
		}
		total += sum(results, args[0])
	}
	return total
}

// trees: as many trees as have that many leaves together. Arguments: the leaves of one.
func trees(ops int, args []int) int {
	total := 0
	for ; ops > 0; ops -= args[0] {
		total += tree(0, args[0])
	}
	return total
}

// tree: each goroutine starts ten more until there are that many leaves, and adds up what they give.
func tree(first, leaves int) int {
	if leaves == 1 {
		return first
	}
	results := make(chan int, 10)
	for child := 0; child < 10; child++ {
		go func(child int) { results <- tree(first+child*leaves/10, leaves/10) }(child)
	}
	return sum(results, 10)
}

// sum adds up that many numbers from a channel.
func sum(numbers <-chan int, count int) int {
	total := 0
	for ; count > 0; count-- {
		total += <-numbers
	}
	return total
}
