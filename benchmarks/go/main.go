// Command bench measures the work queues of client-go and controller-runtime, as released, through
// their public API. It prints one JSON object a line.
//
// The queues have no name, so they keep no metrics. Of several rounds the best counts, since whatever
// else runs on the machine only slows a round.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
)

const (
	batchSize   = 100
	delayedKeys = 100_000
)

// Figure is one line of output; either PerSecond or BytesPerKey is set.
type Figure struct {
	Queue       string  `json:"queue"`
	Key         string  `json:"key"`
	Case        string  `json:"case"`
	Keys        int     `json:"keys"`
	Procs       int     `json:"procs"`
	PerSecond   float64 `json:"per_second,omitempty"`
	BytesPerKey float64 `json:"bytes_per_key,omitempty"`
}

type objectKey struct{ Namespace, Name string }

type queue[K comparable] = workqueue.TypedRateLimitingInterface[K]

// maker makes a new queue; absorb waits until it has taken in everything that was added, as far as it
// does so in the background.
type maker[K comparable] struct {
	name   string
	make   func() queue[K]
	absorb func(queue[K])
}

func makers[K comparable]() []maker[K] {
	return []maker[K]{
		{"classic", func() queue[K] {
			return workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[K]())
		}, func(queue[K]) {
			// At most 1,000 delayed adds are still in a channel then.
			time.Sleep(20 * time.Millisecond)
		}},
		{"priority", func() queue[K] { return priorityqueue.New[K]("") },
			// Len takes in the buffer of adds first.
			func(q queue[K]) { q.Len() }},
	}
}

// bench is what all cases of one type of key share.
type bench[K comparable] struct {
	keyType string
	newKey  func(i int) K
	rounds  int
	least   time.Duration // one round lasts at least this long
	only    string
	print   func(Figure)
}

func main() {
	seconds := flag.Float64("seconds", 0.3, "how long a round lasts at least")
	rounds := flag.Int("rounds", 3, "how many rounds; the best counts")
	only := flag.String("case", "", "only cases whose name contains this")
	flag.Parse()
	if flag.NArg() > 0 || *seconds <= 0 || *rounds < 1 {
		flag.Usage()
		os.Exit(2)
	}

	out := json.NewEncoder(os.Stdout)
	print := func(figure Figure) {
		if err := out.Encode(figure); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := out.Encode(environment()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	least := time.Duration(*seconds * float64(time.Second))
	texts := bench[string]{
		"string", func(i int) string { return fmt.Sprintf("default/object-%d", i) }, *rounds, least, *only, print}
	objects := bench[objectKey]{
		"struct", func(i int) objectKey { return objectKey{"default", fmt.Sprintf("object-%d", i)} }, *rounds, least, *only, print}

	all := runtime.GOMAXPROCS(0)
	for _, procs := range slices.Compact([]int{1, all}) {
		runtime.GOMAXPROCS(procs)
		texts.run(procs)
		objects.run(procs)
	}
}

// environment is the first line: what was measured, and where.
func environment() map[string]any {
	modules := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "k8s.io/client-go" || module.Path == "sigs.k8s.io/controller-runtime" {
				modules[module.Path] = module.Version
			}
		}
	}
	return map[string]any{
		"case": "environment", "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		"procs": runtime.GOMAXPROCS(0), "modules": modules,
	}
}

func (b bench[K]) run(procs int) {
	cycles := []struct {
		name string
		do   func(queue[K], []K, time.Duration) (int, time.Duration)
	}{
		{"one_at_a_time", oneAtATime[K]},
		{"fill_and_drain", fillAndDrain[K]},
		{"producer_consumer", producerConsumer[K]},
		{"producer_consumer_batches", producerConsumerBatches[K]},
	}
	for _, m := range makers[K]() {
		figure := func(name string, keys int) Figure {
			return Figure{Queue: m.name, Key: b.keyType, Case: name, Keys: keys, Procs: procs}
		}
		for _, cycle := range cycles {
			for _, count := range []int{1, 1_000, 100_000} {
				b.measure(figure(cycle.name, count), func(keys []K) (int, time.Duration) {
					q := m.make()
					defer q.ShutDown()
					return cycle.do(q, keys, b.least)
				})
			}
		}
		b.measure(figure("delayed_add", delayedKeys), func(keys []K) (int, time.Duration) {
			return delayedAdd(m, keys)
		})
		b.measure(figure("delayed_drain", delayedKeys), func(keys []K) (int, time.Duration) {
			return delayedDrain(m, keys)
		})
		b.weigh(figure("bytes_ready", delayedKeys), m, func(q queue[K], key K) { q.Add(key) })
		b.weigh(figure("bytes_delayed", delayedKeys), m, func(q queue[K], key K) { q.AddAfter(key, time.Hour) })
	}
}

func (b bench[K]) skips(name string) bool { return !strings.Contains(name, b.only) }

func (b bench[K]) keys(count int) []K {
	keys := make([]K, count)
	for i := range keys {
		keys[i] = b.newKey(i)
	}
	return keys
}

// measure prints the best of the rounds; a round gives how much it did in what time.
func (b bench[K]) measure(figure Figure, round func([]K) (int, time.Duration)) {
	if b.skips(figure.Case) {
		return
	}
	keys := b.keys(figure.Keys)
	for range b.rounds {
		runtime.GC()
		done, took := round(keys)
		figure.PerSecond = max(figure.PerSecond, float64(done)/took.Seconds())
	}
	b.print(figure)
}

// weigh prints how much the heap grew for each key; the keys themselves exist before.
func (b bench[K]) weigh(figure Figure, m maker[K], add func(queue[K], K)) {
	if b.skips(figure.Case) {
		return
	}
	keys := b.keys(figure.Keys)
	q := m.make()
	defer q.ShutDown()
	before := heap()
	for i, key := range keys {
		add(q, key)
		// Otherwise the figure would be that of the buffer before the priority queue.
		if i%batchSize == 0 {
			q.Len()
		}
	}
	m.absorb(q)
	figure.BytesPerKey = float64(heap()-before) / float64(len(keys))
	runtime.KeepAlive(keys)
	b.print(figure)
}

func heap() int64 {
	// Twice: what has a finalizer goes in the second.
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
