package oracle

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const (
	ms = int64(time.Millisecond)
	s  = int64(time.Second)

	opsInProgram = 60
)

// generate makes the program of a seed: the same seed gives the same program. Outcomes are left empty.
func generate(t *testing.T, kind string, seed int64) (any, error) {
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	switch kind {
	case "classic", "priority":
		return generateQueue(t, kind, seed, rng)
	case "controller":
		return generateScenario(seed, rng), nil
	}
	return nil, fmt.Errorf("no such kind: %q (classic, priority or controller)", kind)
}

func pick[T any](rng *rand.Rand, choices ...T) T { return choices[rng.IntN(len(choices))] }

func exponential(base, most int64) *Limiter {
	return &Limiter{Type: "exponential", Base: base, Max: most}
}

func bucket(qps float64, burst int) *Limiter { return &Limiter{Type: "bucket", QPS: qps, Burst: burst} }

func maxOf(limiters ...*Limiter) *Limiter { return &Limiter{Type: "max_of", Limiters: limiters} }

func withMaxWait(most int64, limiter *Limiter) *Limiter {
	return &Limiter{Type: "with_max_wait", Max: most, Limiter: limiter}
}

var queueLimiters = []*Limiter{
	exponential(5*ms, 1000*s),
	maxOf(exponential(5*ms, 1000*s), bucket(10, 100)),
	exponential(s, 30*s),
	{Type: "fast_slow", Fast: 5 * ms, Slow: 10 * s, MaxFast: 3},
	bucket(10, 100),
	bucket(10, 3),
	bucket(3, 1),
	maxOf(exponential(5*ms, s), &Limiter{Type: "fast_slow", Fast: 20 * ms, Slow: 3 * s, MaxFast: 2}),
	maxOf(exponential(5*ms, 1000*s), bucket(10, 2)),
	withMaxWait(100*ms, exponential(5*ms, 1000*s)),
	withMaxWait(1200*ms, bucket(2, 1)),
}

// weighted is an op and its share of the draws.
type weighted struct {
	op    string
	share int
}

// shares of the modes; what is not valid at the moment is drawn again.
var shares = map[string][]weighted{
	"single": {{"add", 17}, {"advance", 16}, {"get", 30}, {"add_after", 14}, {"add_rate_limited", 13}, {"done", 11},
		{"forget", 4}, {"num_requeues", 4}, {"len", 1}, {"shutting_down", 1}, {"shutdown", 1}},
	"multi": {{"add", 16}, {"advance", 13}, {"get", 30}, {"add_after", 14}, {"add_rate_limited", 12}, {"done", 14},
		{"forget", 4}, {"num_requeues", 4}, {"len", 1}, {"shutting_down", 1}, {"shutdown", 1}},
	"ties": {{"add", 14}, {"advance", 16}, {"get", 20}, {"add_after", 34}, {"add_rate_limited", 10}, {"done", 8},
		{"forget", 3}, {"num_requeues", 3}, {"len", 1}, {"shutting_down", 1}, {"shutdown", 1}},
	"abuse": {{"add", 17}, {"advance", 15}, {"get", 24}, {"add_after", 14}, {"add_rate_limited", 12}, {"done", 14},
		{"forget", 4}, {"num_requeues", 4}, {"len", 1}, {"shutting_down", 1}, {"shutdown", 1}},
}

// maxBlocked is how many Gets may be outstanding.
var maxBlocked = map[string]int{"single": 1, "multi": 4, "ties": 1, "abuse": 4}

var (
	queueKeys = []string{"a", "b", "c", "d", "e"}
	// Many of these are equal, or sums of others: ready times meet.
	delays = []int64{-s, 0, 1, ms, 5 * ms, 10 * ms, 10 * ms, 10 * ms, 15 * ms, 20 * ms, 50 * ms, 100 * ms, 500 * ms,
		s, 3 * s, 9999 * ms, 10 * s, 10001 * ms, 30 * s, 100 * s}
	tiedDelays = []int64{5 * ms, 10 * ms, 15 * ms, 20 * ms}
	sleeps     = []int64{1, ms, ms, 5*ms - 1, 5 * ms, 5 * ms, 10 * ms, 10 * ms, 20 * ms, 50 * ms, 100 * ms, 500 * ms,
		s, s, 3 * s, 10 * s, 30 * s}
	priorities = []int{-100, -1, 0, 0, 1, 1, 2, 10, 100}
)

// queueMaker draws ops against a queue that performs each at once, since what is valid depends on what
// the queue did so far.
type queueMaker struct {
	rng           *rand.Rand
	mode          string
	run           *queueRun
	length        int
	getsMade      int
	drainsMade    int
	shutdownsMade int
}

func generateQueue(t *testing.T, queue string, seed int64, rng *rand.Rand) (*QueueProgram, error) {
	p := &QueueProgram{
		ID: fmt.Sprintf("%s-seed-%d", queue, seed), Queue: queue, Seed: seed,
		Mode:    pick(rng, "single", "single", "single", "single", "multi", "multi", "multi", "ties", "ties", "abuse"),
		Limiter: pick(rng, queueLimiters...),
	}
	if queue == "priority" && rng.IntN(2) == 0 {
		p.Limiter = queueLimiters[0]
	}
	return p, inBubble(t, func() error {
		run, err := newQueueRun(queue, p.Limiter)
		if err != nil {
			return err
		}
		defer run.close()
		m := &queueMaker{rng: rng, mode: p.Mode, run: run}
		for i := range opsInProgram {
			step := m.draw()
			step.I = i
			if err := run.perform(step); err != nil {
				return err
			}
			m.length = step.Len
			p.Ops = append(p.Ops, withoutOutcome(step))
		}
		return nil
	})
}

func withoutOutcome(s *Step) *Step {
	bare := *s
	bare.T, bare.TEnd, bare.Len = 0, 0, 0
	bare.N, bare.B, bare.Woken, bare.Drained, bare.Unordered = nil, nil, nil, nil, false
	return &bare
}

// draw until an op is valid now.
func (m *queueMaker) draw() *Step {
	total := 0
	for _, w := range shares[m.mode] {
		total += w.share
	}
	for {
		at := m.rng.IntN(total)
		for _, w := range shares[m.mode] {
			if at -= w.share; at < 0 {
				if step := m.make(w.op); step != nil {
					return step
				}
				break
			}
		}
	}
}

func (m *queueMaker) make(op string) *Step {
	step := &Step{Op: op}
	isPriority := m.run.priority != nil
	if isPriority && slices.Contains([]string{"add", "add_after", "add_rate_limited"}, op) && m.rng.IntN(3) == 0 {
		return m.addWithOpts()
	}
	switch op {
	case "add", "add_rate_limited", "forget", "num_requeues":
		step.Key = pick(m.rng, queueKeys...)
	case "add_after":
		step.Key, step.D = pick(m.rng, queueKeys...), new(m.delay())
	case "advance":
		step.D = new(pick(m.rng, sleeps...))
	case "done":
		return m.done(step)
	case "get":
		return m.get(step)
	case "shutdown":
		return m.shutdown(step)
	}
	return step
}

func (m *queueMaker) delay() int64 {
	if m.mode == "ties" {
		return pick(m.rng, tiedDelays...)
	}
	return pick(m.rng, delays...)
}

func (m *queueMaker) addWithOpts() *Step {
	step := &Step{Op: "add_with_opts"}
	for range 1 + m.rng.IntN(4) {
		step.Keys = append(step.Keys, pick(m.rng, queueKeys...))
	}
	if m.rng.IntN(2) == 0 {
		step.After = new(m.delay())
	}
	step.RateLimited = m.rng.IntN(4) == 0
	if m.rng.IntN(3) > 0 {
		step.Priority = new(pick(m.rng, priorities...))
	}
	return step
}

func (m *queueMaker) done(step *Step) *Step {
	if m.mode == "abuse" && m.rng.IntN(2) == 0 {
		step.Key = pick(m.rng, queueKeys...)
		return step
	}
	var held []string
	for _, key := range queueKeys {
		if m.run.held[key] > 0 {
			held = append(held, key)
		}
	}
	if len(held) == 0 {
		return nil
	}
	step.Key = pick(m.rng, held...)
	return step
}

func (m *queueMaker) get(step *Step) *Step {
	waits := m.mode == "multi" || m.mode == "abuse"
	if len(m.run.gets) >= maxBlocked[m.mode] || !waits && m.length == 0 && !m.run.shutdown {
		return nil
	}
	step.Waiter = new(m.getsMade)
	m.getsMade++
	return step
}

// shutdown comes once, late, and not in every program; the classic queue is also drained, and abused
// by doing either again.
func (m *queueMaker) shutdown(step *Step) *Step {
	isPriority := m.run.priority != nil
	if m.shutdownsMade > 0 && (isPriority || m.mode != "abuse") || m.rng.IntN(2) == 0 {
		return nil
	}
	m.shutdownsMade++
	if !isPriority && m.rng.IntN(3) == 0 {
		step.Op, step.Waiter = "shutdown_with_drain", new(m.drainsMade)
		m.drainsMade++
	}
	return step
}

var scenarioLimiters = []*Limiter{
	maxOf(exponential(5*ms, 1000*s), bucket(10, 2)),
	withMaxWait(50*ms, exponential(5*ms, 1000*s)),
	{Type: "fast_slow", Fast: 5 * ms, Slow: 2 * s, MaxFast: 2},
	exponential(s, 20*s),
}

const scenarioHorizon = 90 * s

// generateScenario leaves out what the libraries do not define: a reconciler that hangs, and a run
// exactly as long as the time-out.
func generateScenario(seed int64, rng *rand.Rand) *Scenario {
	p := &Scenario{
		ID: fmt.Sprintf("controller-seed-%d", seed), Family: "random", Seed: seed,
		Queue: pick(rng, "priority", "classic"), Workers: pick(rng, 1, 3),
		Horizon: scenarioHorizon, Script: map[string][]ScriptStep{},
	}
	if rng.IntN(5) == 0 {
		p.Limiter = pick(rng, scenarioLimiters...)
	}
	if rng.IntN(7) == 0 {
		p.ReconciliationTimeout = 50 * ms
	}
	if p.Warmup = rng.IntN(7) == 0; p.Warmup {
		p.StartAt = 5 * ms * (1 + rng.Int64N(60))
	}
	if rng.IntN(4) == 0 {
		p.StopAt = new(p.StartAt + 5*ms*(1+rng.Int64N(600)))
	}
	keys := queueKeys[:2+rng.IntN(4)]
	for _, key := range keys {
		for range 3 + rng.IntN(9) {
			p.Script[key] = append(p.Script[key], scriptStep(rng))
		}
	}
	for range 8 + rng.IntN(17) {
		p.Events = append(p.Events, event(rng, keys))
	}
	slices.SortStableFunc(p.Events, func(a, b Event) int {
		// "pre" comes before "post": the order in which the driver performs them.
		return cmp.Or(cmp.Compare(a.T, b.T), cmp.Compare(b.Order, a.Order))
	})
	return p
}

var asked = []int64{ms, 5 * ms, 10 * ms, 100 * ms, s, s, 10 * s, 30 * s}

func scriptStep(rng *rand.Rand) ScriptStep {
	step := ScriptStep{
		Dur: pick(rng, 0, ms, ms, 5*ms, 10*ms, 10*ms, 37*ms, 100*ms, 2*s),
		Result: pick(rng, "ok", "ok", "ok", "requeue_after", "requeue_after", "requeue_after", "error", "error", "error",
			"requeue", "terminal", "panic"),
	}
	switch step.Result {
	case "requeue_after":
		step.After = pick(rng, asked...)
	case "error", "terminal":
		if rng.IntN(3) == 0 {
			step.AlsoAfter = pick(rng, asked...)
		}
	}
	if step.Result != "panic" && rng.IntN(7) == 0 {
		step.Priority = new(pick(rng, -100, -1, 0, 5, 50))
	}
	step.SelfAdd = rng.IntN(10) == 0
	return step
}

// event comes early and on small numbers, where it meets the ends of reconciles and the timers.
func event(rng *rand.Rand, keys []string) Event {
	e := Event{
		T:     pick(rng, ms*rng.Int64N(40), 5*ms*rng.Int64N(200), 500*ms*rng.Int64N(120)),
		Order: pick(rng, "pre", "post"), Key: pick(rng, keys...),
		Kind: pick(rng, "add", "add", "add", "add", "add_after", "add_rate_limited", "add_with_opts", "add_with_opts"),
	}
	switch e.Kind {
	case "add_after":
		e.D = pick(rng, asked...)
	case "add_with_opts":
		if rng.IntN(4) == 0 {
			e.After = pick(rng, asked...)
		}
		e.RateLimited = rng.IntN(4) == 0
		e.Priority = new(pick(rng, -100, -1, 0, 1, 10))
	}
	return e
}
