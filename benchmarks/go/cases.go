package main

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"
)

// oneAtATime is one goroutine: add, get, done, and then the next key.
func oneAtATime[K comparable](q queue[K], keys []K, least time.Duration) (int, time.Duration) {
	done, start := 0, time.Now()
	for {
		// The clock is read once for a thousand cycles.
		for range 1_000 {
			q.Add(keys[done%len(keys)])
			key, _ := q.Get()
			q.Done(key)
			done++
		}
		if took := time.Since(start); took >= least {
			return done, took
		}
	}
}

// fillAndDrain is one goroutine: add every key, and then get and done every key.
func fillAndDrain[K comparable](q queue[K], keys []K, least time.Duration) (int, time.Duration) {
	done, start := 0, time.Now()
	for {
		for range max(1, 1_000/len(keys)) {
			for _, key := range keys {
				q.Add(key)
			}
			for range keys {
				key, _ := q.Get()
				q.Done(key)
			}
			done += len(keys)
		}
		if took := time.Since(start); took >= least {
			return done, took
		}
	}
}

// producerConsumer is two goroutines. The producer never waits for the consumer: it adds in turn, and
// yields after each batch; adds of a key that is queued already merge. What counts are passes completed
// by the consumer.
func producerConsumer[K comparable](q queue[K], keys []K, least time.Duration) (int, time.Duration) {
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; !stop.Load(); {
			for range batchSize {
				q.Add(keys[i%len(keys)])
				i++
			}
			// Len makes the priority queue take in its buffer of adds, which otherwise grows without
			// bound on two processors, until the process is out of memory.
			q.Len()
			runtime.Gosched()
		}
	}()
	done, start := 0, time.Now()
	for {
		for range batchSize {
			key, _ := q.Get()
			q.Done(key)
			done++
		}
		if took := time.Since(start); took >= least {
			stop.Store(true)
			<-ended
			return done, took
		}
	}
}

// producerConsumerBatches is the same, but the producer waits until its batch is done: nothing merges
// and nothing piles up.
func producerConsumerBatches[K comparable](q queue[K], keys []K, least time.Duration) (int, time.Duration) {
	batch := min(batchSize, len(keys))
	wanted := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for range wanted {
			for range batch {
				key, _ := q.Get()
				q.Done(key)
			}
			finished <- struct{}{}
		}
	}()
	done, start := 0, time.Now()
	for {
		for range 1_000 / batch {
			wanted <- struct{}{} // the consumer waits in Get before the first add
			for i := range batch {
				q.Add(keys[(done+i)%len(keys)])
			}
			<-finished
			done += batch
		}
		if took := time.Since(start); took >= least {
			close(wanted)
			<-finished
			return done, took
		}
	}
}

// shuffled gives each of count keys its place among the delays, in no order of the keys.
func shuffled(count int) []int { return rand.New(rand.NewPCG(1, 2)).Perm(count) }

// delayedAdd adds each key once, an hour and more away.
func delayedAdd[K comparable](m maker[K], keys []K) (int, time.Duration) {
	q := m.make()
	defer q.ShutDown()
	places := shuffled(len(keys))
	start := time.Now()
	for i, key := range keys {
		q.AddAfter(key, time.Hour+time.Duration(places[i])*time.Microsecond)
	}
	took := time.Since(start)
	if m.name == "priority" {
		// Its AddAfter only fills a buffer: the work is what follows.
		m.absorb(q)
		took = time.Since(start)
	}
	return len(keys), took
}

const (
	drainAfter  = 1500 * time.Millisecond // adding takes less
	drainSpread = 20 * time.Millisecond
)

// delayedDrain adds each key at a time of its own, all within drainSpread, real time. What counts is the
// time from the first of these on until the last key is done.
func delayedDrain[K comparable](m maker[K], keys []K) (int, time.Duration) {
	q := m.make()
	defer q.ShutDown()
	places := shuffled(len(keys))
	first := time.Now().Add(drainAfter)
	for i, key := range keys {
		at := first.Add(drainSpread * time.Duration(places[i]) / time.Duration(len(keys)))
		q.AddAfter(key, time.Until(at))
	}
	m.absorb(q)
	if time.Now().After(first) {
		panic("adding took too long: the drain has begun already")
	}
	for range keys {
		key, _ := q.Get()
		q.Done(key)
	}
	return len(keys), time.Since(first)
}
