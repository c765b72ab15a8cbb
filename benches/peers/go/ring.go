package main

func init() { workloads["ring"] = ring }

// ring: goroutines that pass one message round. Arguments: how many.
func ring(ops int, args []int) int {
	nodes := args[0]
	done := make(chan int, 1)
	channels := make([]chan int, nodes)
	for index := range channels {
		channels[index] = make(chan int, 1)
	}
	for index := range channels {
		go func(index int, inbox <-chan int, next chan<- int) {
			for left := range inbox {
				if left == 0 {
					done <- index
				} else {
					next <- left - 1
				}
			}
		}(index, channels[index], channels[(index+1)%nodes])
	}
	channels[0] <- ops + nodes/3
	end := <-done
	for _, channel := range channels {
		close(channel)
	}
	return end
}
