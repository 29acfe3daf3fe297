// Package oracle records what client-go's work queue and controller-runtime's controller do, in a
// bubble with virtual time, through their public API only.
package oracle

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
)

// inBubble runs f where time stands still until every goroutine waits.
func inBubble(t *testing.T, f func() error) error {
	var err error
	synctest.Test(t, func(*testing.T) { err = f() })
	return err
}

// record performs a program anew and gives it as a line, with the outcomes seen.
func record(t *testing.T, line []byte) ([]byte, error) {
	program, err := parse(line)
	if err != nil {
		return nil, err
	}
	err = inBubble(t, func() error {
		switch p := program.(type) {
		case *QueueProgram:
			return recordQueue(p)
		case *Scenario:
			return recordController(p)
		case *Startup:
			return recordStartup(p)
		case *LimiterTable:
			return recordLimiter(p)
		}
		panic("parse gives no other kind")
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", idOf(program), err)
	}
	return render(program)
}

// recordStable records a program several times, on one processor and on two in turn. Where the
// outcomes differ, it says so: what happens then is not defined by the libraries.
func recordStable(t *testing.T, line []byte, times int) (recorded []byte, stable bool, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i := range times {
		if times > 1 {
			runtime.GOMAXPROCS(1 + i%2)
		}
		again, err := record(t, line)
		if err != nil {
			return nil, false, err
		}
		if recorded != nil && !bytes.Equal(recorded, again) {
			return nil, false, nil
		}
		recorded = again
	}
	return recorded, true, nil
}
