package oracle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// The order of the fields and their omissions are part of the format: a file that is recorded
// again must come out byte for byte.

// QueueProgram is a list of steps on one queue.
type QueueProgram struct {
	ID      string   `json:"id"`
	Queue   string   `json:"queue"`
	Seed    int64    `json:"seed"`
	Mode    string   `json:"mode"`
	Limiter *Limiter `json:"limiter"`
	Ops     []*Step  `json:"ops"`
}

// Step is one operation and, once recorded, what was seen after it.
type Step struct {
	I           int      `json:"i"`
	Op          string   `json:"op"`
	T           int64    `json:"t"`
	Key         string   `json:"key,omitempty"`
	D           *int64   `json:"d,omitempty"`
	Keys        []string `json:"keys,omitempty"`
	After       *int64   `json:"after,omitempty"`
	RateLimited bool     `json:"rate_limited,omitempty"`
	Priority    *int     `json:"priority,omitempty"`
	Waiter      *int     `json:"waiter,omitempty"`
	N           *int     `json:"n,omitempty"`
	B           *bool    `json:"b,omitempty"`
	Woken       []Woken  `json:"woken,omitempty"`
	Unordered   bool     `json:"unordered,omitempty"`
	Drained     []int    `json:"drained,omitempty"`
	Len         int      `json:"len"`
	TEnd        int64    `json:"t_end"`
}

// Woken is a Get call that returned.
type Woken struct {
	Waiter   int    `json:"waiter"`
	T        int64  `json:"t"`
	Key      string `json:"key"`
	Priority int    `json:"priority"`
	Shutdown bool   `json:"shutdown"`
}

// Limiter describes a rate limiter; which fields count depends on Type.
type Limiter struct {
	Type     string     `json:"type"`
	Base     int64      `json:"base,omitempty"`
	Max      int64      `json:"max,omitempty"`
	Fast     int64      `json:"fast,omitempty"`
	Slow     int64      `json:"slow,omitempty"`
	MaxFast  int        `json:"max_fast,omitempty"`
	QPS      float64    `json:"qps,omitempty"`
	Burst    int        `json:"burst,omitempty"`
	Limiters []*Limiter `json:"limiters,omitempty"`
	Limiter  *Limiter   `json:"limiter,omitempty"`
}

// LimiterTable is a row of delays that one limiter gave.
type LimiterTable struct {
	ID                string   `json:"id"`
	Limiter           *Limiter `json:"limiter"`
	Gap               int64    `json:"gap"`
	Keys              []string `json:"keys"`
	Delays            []int64  `json:"delays"`
	NumRequeues       []int    `json:"num_requeues"`
	ForgetBefore      int      `json:"forget_before"`
	DelaysAfterForget []int64  `json:"delays_after_forget"`
}

// Scenario is a controller with a scripted reconciler, and events from outside.
type Scenario struct {
	ID                    string                  `json:"id"`
	Family                string                  `json:"family"`
	Queue                 string                  `json:"queue"`
	Seed                  int64                   `json:"seed,omitempty"`
	Workers               int                     `json:"workers"`
	Limiter               *Limiter                `json:"limiter,omitempty"`
	ReconciliationTimeout int64                   `json:"reconciliation_timeout,omitempty"`
	Warmup                bool                    `json:"warmup,omitempty"`
	StartAt               int64                   `json:"start_at,omitempty"`
	StopAt                *int64                  `json:"stop_at,omitempty"`
	Horizon               int64                   `json:"horizon"`
	Script                map[string][]ScriptStep `json:"script"`
	Events                []Event                 `json:"events"`
	Log                   []LogEntry              `json:"log"`
	Metrics               map[string]int64        `json:"metrics"`
	QueueLeft             int                     `json:"queue_left"`
}

// ScriptStep is what one call of the reconciler does.
type ScriptStep struct {
	Dur       int64  `json:"dur"`
	Result    string `json:"result"`
	After     int64  `json:"after,omitempty"`
	Priority  *int   `json:"priority,omitempty"`
	SelfAdd   bool   `json:"self_add,omitempty"`
	AlsoAfter int64  `json:"also_after,omitempty"`
}

// Event is an enqueue from outside.
type Event struct {
	T           int64  `json:"t"`
	Order       string `json:"order"`
	Key         string `json:"key"`
	Kind        string `json:"kind"`
	D           int64  `json:"d,omitempty"`
	After       int64  `json:"after,omitempty"`
	RateLimited bool   `json:"rate_limited,omitempty"`
	Priority    *int   `json:"priority,omitempty"`
}

// LogEntry is one observation.
type LogEntry struct {
	T        int64  `json:"t"`
	Ev       string `json:"ev"`
	Key      string `json:"key,omitempty"`
	N        *int   `json:"n,omitempty"`
	Priority *int   `json:"priority,omitempty"`
	Result   string `json:"result,omitempty"`
	Err      string `json:"err,omitempty"`
	CtxErr   string `json:"ctx_err,omitempty"`
	Requeues *int   `json:"requeues,omitempty"`
	Depth    int    `json:"depth"`
}

// Startup is a controller whose only source behaves in a named way.
type Startup struct {
	ID               string  `json:"id"`
	Queue            string  `json:"queue"`
	CacheSyncTimeout int64   `json:"cache_sync_timeout"`
	Source           string  `json:"source"`
	SyncAt           int64   `json:"sync_at,omitempty"`
	CancelAt         int64   `json:"cancel_at,omitempty"`
	EarlyEvent       bool    `json:"early_event"`
	ReconcileStarts  []int64 `json:"reconcile_starts"`
	StartReturnedAt  int64   `json:"start_returned_at"`
	Err              string  `json:"err"`
}

// parse reads one line; the fields that are present say which kind it is.
func parse(line []byte) (any, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, err
	}
	var program any
	switch {
	case fields["ops"] != nil:
		program = &QueueProgram{}
	case fields["script"] != nil:
		program = &Scenario{}
	case fields["source"] != nil:
		program = &Startup{}
	case fields["forget_before"] != nil:
		program = &LimiterTable{}
	default:
		return nil, fmt.Errorf("none of ops, script, source, forget_before is there, so this is no known kind of program")
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	return program, decoder.Decode(program)
}

func idOf(program any) string {
	switch p := program.(type) {
	case *QueueProgram:
		return p.ID
	case *Scenario:
		return p.ID
	case *Startup:
		return p.ID
	case *LimiterTable:
		return p.ID
	}
	panic(fmt.Sprintf("no such kind of program: %T", program))
}

func render(program any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(program)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// readLines gives the non-empty lines of a file.
func readLines(path string) ([][]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines [][]byte
	for line := range bytes.SplitSeq(content, []byte("\n")) {
		if len(bytes.TrimSpace(line)) > 0 {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func writeLines(path string, lines [][]byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	for _, line := range lines {
		out.Write(line)
		out.WriteByte('\n')
	}
	if err := out.Flush(); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
