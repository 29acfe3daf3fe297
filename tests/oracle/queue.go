package oracle

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
)

// queueRun performs steps on one queue, inside of a bubble, and notes what comes of each.
type queueRun struct {
	start    time.Time
	queue    workqueue.TypedRateLimitingInterface[string]
	priority priorityqueue.PriorityQueue[string] // nil on the classic queue

	// held counts, for each key, the Gets that have it and were not answered by a Done.
	held     map[string]int
	keys     map[string]bool // every key that was ever named
	shutdown bool
	gets     map[int]bool // Get calls that have not returned
	drains   map[int]bool // ShutDownWithDrain calls that have not returned

	mu      sync.Mutex // guards what the calls in flight report
	woken   []Woken
	drained []int
}

func newQueueRun(queue string, limiter *Limiter) (*queueRun, error) {
	rateLimiter, err := newLimiter(limiter)
	if err != nil {
		return nil, err
	}
	r := &queueRun{
		start: time.Now(), held: map[string]int{}, keys: map[string]bool{},
		gets: map[int]bool{}, drains: map[int]bool{},
	}
	// Without a name a queue keeps no metrics.
	switch queue {
	case "classic":
		r.queue = workqueue.NewTypedRateLimitingQueue(rateLimiter)
	case "priority":
		r.priority = priorityqueue.New("", func(o *priorityqueue.Opts[string]) { o.RateLimiter = rateLimiter })
		r.queue = r.priority
	default:
		return nil, fmt.Errorf("no such queue: %q", queue)
	}
	synctest.Wait()
	return r, nil
}

func recordQueue(p *QueueProgram) error {
	r, err := newQueueRun(p.Queue, p.Limiter)
	if err != nil {
		return err
	}
	defer r.close()
	for i, step := range p.Ops {
		step.I = i
		if err := r.perform(step); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

func (r *queueRun) now() int64 { return int64(time.Since(r.start)) }

// perform does the step, lets every goroutine settle, and writes the outcome into it.
func (r *queueRun) perform(s *Step) error {
	s.T = r.now()
	s.N, s.B = nil, nil
	if err := r.call(s); err != nil {
		return err
	}
	synctest.Wait()
	r.collect(s)
	s.Len = r.queue.Len()
	s.TEnd = r.now()
	return nil
}

func (r *queueRun) call(s *Step) error {
	for _, key := range append([]string{s.Key}, s.Keys...) {
		r.keys[key] = true
	}
	switch s.Op {
	case "add":
		r.queue.Add(s.Key)
	case "add_after":
		r.queue.AddAfter(s.Key, duration(s.D))
	case "add_rate_limited":
		r.queue.AddRateLimited(s.Key)
	case "add_with_opts":
		if r.priority == nil {
			return fmt.Errorf("the classic queue has no add_with_opts")
		}
		r.priority.AddWithOpts(priorityqueue.AddOpts{
			After: duration(s.After), RateLimited: s.RateLimited, Priority: s.Priority}, s.Keys...)
	case "get":
		return r.get(s.Waiter)
	case "done":
		r.queue.Done(s.Key)
		r.held[s.Key] = max(0, r.held[s.Key]-1)
	case "forget":
		r.queue.Forget(s.Key)
	case "num_requeues":
		s.N = new(r.queue.NumRequeues(s.Key))
	case "len":
		s.N = new(r.queue.Len())
	case "shutting_down":
		s.B = new(r.queue.ShuttingDown())
	case "advance":
		time.Sleep(duration(s.D))
	case "shutdown":
		if r.priority != nil && r.shutdown {
			return fmt.Errorf("a second shutdown of the priority queue panics")
		}
		r.shutdown = true
		r.queue.ShutDown()
	case "shutdown_with_drain":
		return r.drain(s.Waiter)
	default:
		return fmt.Errorf("no such op: %q", s.Op)
	}
	return nil
}

func (r *queueRun) get(waiter *int) error {
	if waiter == nil || r.gets[*waiter] {
		return fmt.Errorf("get needs a waiter that is not blocked already")
	}
	number := *waiter
	r.gets[number] = true
	go func() {
		woken := Woken{Waiter: number}
		if r.priority != nil {
			woken.Key, woken.Priority, woken.Shutdown = r.priority.GetWithPriority()
		} else {
			woken.Key, woken.Shutdown = r.queue.Get()
		}
		woken.T = r.now()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.woken = append(r.woken, woken)
	}()
	return nil
}

func (r *queueRun) drain(waiter *int) error {
	if r.priority != nil {
		return fmt.Errorf("on the priority queue shutdown_with_drain is shutdown: use that")
	}
	if waiter == nil || r.drains[*waiter] {
		return fmt.Errorf("shutdown_with_drain needs a waiter that is not blocked already")
	}
	number := *waiter
	r.drains[number] = true
	r.shutdown = true
	go func() {
		r.queue.ShutDownWithDrain()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.drained = append(r.drained, number)
	}()
	return nil
}

// collect moves what the calls in flight have reported into the step.
func (r *queueRun) collect(s *Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Woken, s.Drained = r.woken, r.drained
	r.woken, r.drained = nil, nil
	slices.SortFunc(s.Woken, func(a, b Woken) int {
		return cmp.Or(cmp.Compare(a.T, b.T), cmp.Compare(a.Waiter, b.Waiter))
	})
	slices.Sort(s.Drained)
	s.Unordered = r.priority == nil && sortRaces(s.Woken)
	for _, woken := range s.Woken {
		delete(r.gets, woken.Waiter)
		if !woken.Shutdown {
			r.held[woken.Key]++
		}
	}
	for _, number := range s.Drained {
		delete(r.drains, number)
	}
}

// sortRaces says whether different keys came back at one instant. Who got which depends on a mutex; the
// one assignment in which waiters and keys are both sorted stands for all of them.
func sortRaces(woken []Woken) bool {
	raced := false
	for from := 0; from < len(woken); {
		to := from
		keys := map[string]bool{}
		for to < len(woken) && woken[to].T == woken[from].T {
			keys[woken[to].Key] = true
			to++
		}
		if len(keys) > 1 {
			raced = true
			sorted := slices.Clone(woken[from:to])
			slices.SortFunc(sorted, func(a, b Woken) int { return cmp.Compare(a.Key, b.Key) })
			for i, w := range sorted {
				woken[from+i].Key, woken[from+i].Shutdown = w.Key, w.Shutdown
			}
		}
		from = to
	}
	return raced
}

// close ends every goroutine of the queue and every call in flight: a bubble must not leave any behind.
func (r *queueRun) close() {
	if r.priority == nil || !r.shutdown {
		r.queue.ShutDown()
	}
	synctest.Wait()
	r.collect(&Step{})
	// A drain that came after a shutdown is ended by nothing but Done; each Done ends one drain.
	for len(r.gets)+len(r.drains) > 0 {
		for _, key := range slices.Sorted(maps.Keys(r.keys)) {
			r.queue.Done(key)
		}
		synctest.Wait()
		r.collect(&Step{})
	}
}

func duration(d *int64) time.Duration {
	if d == nil {
		return 0
	}
	return time.Duration(*d)
}
