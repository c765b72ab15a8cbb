package main

import "sync"

func init() {
	workloads["channel"] = exchange
	workloads["fan"] = fan
}

// exchange: producers that send as fast as they can, consumers that add up. Arguments: producers, consumers, capacity.
func exchange(ops int, args []int) int {
	producers, consumers := args[0], args[1]
	messages, sums := make(chan int, args[2]), make(chan int)
	for consumer := 0; consumer < consumers; consumer++ {
		go func() {
			total := 0
			for number := range messages {
				total += number
			}
			sums <- total
		}()
	}
	var sending sync.WaitGroup
	for producer := 0; producer < producers; producer++ {
		sending.Add(1)
		go func() {
			for number := 0; number < ops/producers; number++ {
				messages <- number
			}
			sending.Done()
		}()
	}
	sending.Wait()
	close(messages)
	return sum(sums, consumers)
}

// fan: jobs go out to several workers, and their results come in to one. Arguments: workers, capacity.
func fan(ops int, args []int) int {
	jobs, results := make(chan int, args[1]), make(chan int, args[1])
	for worker := 0; worker < args[0]; worker++ {
		go func() {
			for job := range jobs {
				results <- 2 * job
			}
		}()
	}
	go func() {
		for job := 0; job < ops; job++ {
			jobs <- job
		}
		close(jobs)
	}()
	return sum(results, ops)
}
