package oracle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

type pqueue = priorityqueue.PriorityQueue[string]

// controllerName is that of every scripted controller. The process counts metrics by name and never
// drops a name, so that a name for each would make reading them slower and slower.
const controllerName = "oracle"

// notingQueue passes everything through, and notes the priority with which a key is handed out.
type notingQueue struct {
	pqueue
	note func(key string, priority int)
}

func (q notingQueue) GetWithPriority() (string, int, bool) {
	key, priority, shutdown := q.pqueue.GetWithPriority()
	if !shutdown {
		q.note(key, priority)
	}
	return key, priority, shutdown
}

// options makes a controller use the queue with this name; the rate limiter stays the library's own
// default unless one is given.
func options(queue string, note func(key string, priority int)) (controller.TypedOptions[string], error) {
	o := controller.TypedOptions[string]{SkipNameValidation: new(true)}
	switch queue {
	case "classic":
		o.UsePriorityQueue = new(false)
	case "priority":
		o.NewQueue = func(name string, limiter rateLimiter) workqueue.TypedRateLimitingInterface[string] {
			queue := priorityqueue.New(name, func(o *priorityqueue.Opts[string]) { o.RateLimiter = limiter })
			return notingQueue{queue, note}
		}
	default:
		return o, fmt.Errorf("no such queue: %q", queue)
	}
	return o, nil
}

// call is a reconcile in flight that the driver will end.
type call struct {
	key     string
	endAt   int64
	release chan struct{}
}

// controllerRun drives one scenario: it alone decides what happens when, and lets everything settle
// after each action.
type controllerRun struct {
	scenario *Scenario
	start    time.Time
	queue    pqueue        // the one that the controller gives to its sources
	changed  chan struct{} // something was logged that the driver did not cause
	over     chan struct{} // closed at the end of recording: calls in flight return at once

	mu         sync.Mutex // guards the rest
	calls      map[string]int
	priorities map[string]int
	running    []*call
	pending    []LogEntry // of this settle
	returned   bool
	startErr   error
}

func recordController(p *Scenario) error {
	r := &controllerRun{
		scenario: p, start: time.Now(), changed: make(chan struct{}, 1), over: make(chan struct{}),
		calls: map[string]int{}, priorities: map[string]int{},
	}
	before, err := readMetrics()
	if err != nil {
		return err
	}
	c, err := r.newController()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.Log = nil
	err = r.drive(ctx, cancel, c)
	if err == nil {
		p.QueueLeft = r.queue.Len()
		p.Metrics, err = metricsSince(before)
	}
	close(r.over)
	cancel()
	synctest.Wait()
	return errors.Join(err, r.startErr)
}

func (r *controllerRun) newController() (controller.TypedController[string], error) {
	p := r.scenario
	o, err := options(p.Queue, func(key string, priority int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.priorities[key] = priority
	})
	if err != nil {
		return nil, err
	}
	if p.Limiter != nil {
		if o.RateLimiter, err = newLimiter(p.Limiter); err != nil {
			return nil, err
		}
	}
	o.MaxConcurrentReconciles = p.Workers
	o.ReconciliationTimeout = time.Duration(p.ReconciliationTimeout)
	o.EnableWarmup = new(p.Warmup)
	o.Reconciler = reconcile.TypedFunc[string](r.reconcile)
	c, err := controller.NewTypedUnmanaged(controllerName, o)
	if err != nil {
		return nil, err
	}
	return c, c.Watch(source.TypedFunc[string](
		func(_ context.Context, queue workqueue.TypedRateLimitingInterface[string]) error {
			r.queue = queue.(pqueue)
			return nil
		}))
}

func (r *controllerRun) now() int64 { return int64(time.Since(r.start)) }

func (r *controllerRun) noteChange() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// drive runs the scenario up to its horizon, or to the instant at which Start returned.
func (r *controllerRun) drive(ctx context.Context, cancel func(), c controller.TypedController[string]) error {
	p := r.scenario
	if p.Warmup {
		if err := c.(interface{ Warmup(context.Context) error }).Warmup(ctx); err != nil {
			return err
		}
	} else {
		time.Sleep(time.Duration(p.StartAt))
		r.goStart(ctx, c)
	}
	started, stopped := !p.Warmup, p.StopAt == nil
	events := map[string][]Event{}
	for _, event := range p.Events {
		events[event.Order] = append(events[event.Order], event)
	}
	if len(events["pre"])+len(events["post"]) != len(p.Events) {
		return fmt.Errorf("the order of an event is pre or post")
	}
	due := func(order string) bool { return len(events[order]) > 0 && events[order][0].T <= r.now() }
	act := func(order string) error {
		event := events[order][0]
		events[order] = events[order][1:]
		entry := LogEntry{T: r.now(), Ev: "event", Key: event.Key}
		if err := r.enqueue(event); err != nil {
			return err
		}
		r.settle(&entry)
		return nil
	}
	r.settle(nil)
	for !r.hasReturned() {
		switch now := r.now(); {
		case now >= p.Horizon:
			return nil
		case due("pre"):
			if err := act("pre"); err != nil {
				return err
			}
		case r.releaseDue(now):
			r.settle(nil)
		case !started && p.StartAt <= now:
			started = true
			r.goStart(ctx, c)
			r.settle(nil)
		case !stopped && *p.StopAt <= now:
			stopped = true
			cancel()
			r.settle(&LogEntry{T: now, Ev: "stop"})
		case due("post"):
			if err := act("post"); err != nil {
				return err
			}
		default:
			next := p.Horizon
			for _, order := range []string{"pre", "post"} {
				if len(events[order]) > 0 {
					next = min(next, events[order][0].T)
				}
			}
			if !started {
				next = min(next, p.StartAt)
			}
			if !stopped {
				next = min(next, *p.StopAt)
			}
			r.wait(next)
			r.settle(nil)
		}
	}
	return nil
}

// wait until the next thing that the driver does, or until a timer of the library did something first.
func (r *controllerRun) wait(next int64) {
	r.mu.Lock()
	for _, call := range r.running {
		next = min(next, call.endAt)
	}
	r.mu.Unlock()
	timer := time.NewTimer(time.Duration(next - r.now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.changed:
	}
}

func (r *controllerRun) goStart(ctx context.Context, c controller.TypedController[string]) {
	go func() {
		err := c.Start(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.returned, r.startErr = true, err
		r.pending = append(r.pending, LogEntry{T: r.now(), Ev: "start_returned"})
		r.noteChange()
	}()
}

func (r *controllerRun) hasReturned() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.returned
}

// releaseDue ends the due reconcile with the smallest (end time, key), if there is one.
func (r *controllerRun) releaseDue(now int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.running) == 0 {
		return false
	}
	first := slices.MinFunc(r.running, func(a, b *call) int {
		return cmp.Or(cmp.Compare(a.endAt, b.endAt), cmp.Compare(a.key, b.key))
	})
	if first.endAt > now {
		return false
	}
	r.running = slices.DeleteFunc(r.running, func(c *call) bool { return c == first })
	close(first.release)
	return true
}

func (r *controllerRun) enqueue(e Event) error {
	switch e.Kind {
	case "add":
		r.queue.Add(e.Key)
	case "add_after":
		r.queue.AddAfter(e.Key, time.Duration(e.D))
	case "add_rate_limited":
		r.queue.AddRateLimited(e.Key)
	case "add_with_opts":
		r.queue.AddWithOpts(priorityqueue.AddOpts{
			After: time.Duration(e.After), RateLimited: e.RateLimited, Priority: e.Priority}, e.Key)
	default:
		return fmt.Errorf("no such kind of event: %q", e.Kind)
	}
	return nil
}

// settleOrder is the order of entries within one settle: workers run in parallel.
var settleOrder = map[string]int{"end": 0, "start": 1, "start_returned": 2}

// settle lets every goroutine come to rest, and logs what they did, after what caused it.
func (r *controllerRun) settle(cause *LogEntry) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortFunc(r.pending, func(a, b LogEntry) int {
		return cmp.Or(cmp.Compare(a.T, b.T), cmp.Compare(settleOrder[a.Ev], settleOrder[b.Ev]), cmp.Compare(a.Key, b.Key))
	})
	if cause != nil {
		r.pending = slices.Insert(r.pending, 0, *cause)
	}
	for _, entry := range r.pending {
		entry.Depth = r.queue.Len()
		if entry.Ev == "end" {
			entry.Requeues = new(r.queue.NumRequeues(entry.Key))
		}
		r.scenario.Log = append(r.scenario.Log, entry)
	}
	r.pending = nil
}

// reconcile is the scripted reconciler.
func (r *controllerRun) reconcile(ctx context.Context, key string) (reconcile.Result, error) {
	step := ScriptStep{Dur: int64(time.Millisecond), Result: "ok"}
	this := &call{key: key, release: make(chan struct{})}
	r.mu.Lock()
	n := r.calls[key]
	r.calls[key]++
	if n < len(r.scenario.Script[key]) {
		step = r.scenario.Script[key][n]
	}
	now := r.now()
	r.pending = append(r.pending, LogEntry{T: now, Ev: "start", Key: key, N: new(n), Priority: new(r.priorities[key])})
	var hang <-chan struct{}
	if step.Result == "hang" {
		hang = ctx.Done()
	} else {
		this.endAt = now + step.Dur
		r.running = append(r.running, this)
	}
	r.mu.Unlock()
	r.noteChange()

	select {
	case <-this.release:
	case <-hang:
	case <-r.over:
		return reconcile.Result{}, nil
	}
	if step.SelfAdd {
		r.queue.Add(key)
	}
	result, err := outcome(ctx, step)
	entry := LogEntry{T: r.now(), Ev: "end", Key: key, N: new(n), Result: step.Result}
	if err != nil {
		entry.Err = err.Error()
	}
	if ctx.Err() != nil {
		entry.CtxErr = ctx.Err().Error()
	}
	r.mu.Lock()
	r.pending = append(r.pending, entry)
	r.mu.Unlock()
	r.noteChange()
	if step.Result == "panic" {
		panic("scripted")
	}
	return result, err
}

func outcome(ctx context.Context, step ScriptStep) (reconcile.Result, error) {
	result := reconcile.Result{RequeueAfter: time.Duration(step.AlsoAfter), Priority: step.Priority}
	switch step.Result {
	case "requeue":
		result.Requeue = true //nolint:staticcheck // deprecated, and still part of the contract
	case "requeue_after":
		result.RequeueAfter = time.Duration(step.After)
	case "error":
		return result, errors.New("boom")
	case "terminal":
		return result, reconcile.TerminalError(errors.New("fatal"))
	case "hang":
		return result, ctx.Err()
	}
	return result, nil
}

// counters maps the name of a counter in Prometheus to its name in a trace.
var counters = map[string]string{
	"controller_runtime_reconcile_total":                 "reconcile_total",
	"controller_runtime_reconcile_errors_total":          "reconcile_errors_total",
	"controller_runtime_terminal_reconcile_errors_total": "terminal_reconcile_errors_total",
	"controller_runtime_reconcile_panics_total":          "reconcile_panics_total",
	"controller_runtime_reconcile_timeouts_total":        "reconcile_timeouts_total",
	"workqueue_adds_total":                               "workqueue_adds_total",
	"workqueue_retries_total":                            "workqueue_retries_total",
}

// readMetrics gives the counters of all controllers with our name so far; a counter that is not there
// yet is zero.
func readMetrics() (map[string]int64, error) {
	families, err := metrics.Registry.Gather()
	if err != nil {
		return nil, err
	}
	found := map[string]int64{}
	for _, name := range counters {
		found[name] = 0
	}
	delete(found, "reconcile_total")
	for _, result := range []string{"success", "error", "requeue", "requeue_after"} {
		found["reconcile_total/"+result] = 0
	}
	for _, family := range families {
		name, wanted := counters[family.GetName()]
		if !wanted {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["controller"] != controllerName {
				continue
			}
			full := name
			if result, ok := labels["result"]; ok {
				full += "/" + result
			}
			found[full] = int64(metric.GetCounter().GetValue())
		}
	}
	return found, nil
}

func metricsSince(before map[string]int64) (map[string]int64, error) {
	after, err := readMetrics()
	for name := range after {
		after[name] -= before[name]
	}
	return after, err
}
