package oracle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing/synctest"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// startupHorizon is where a start-up that still runs counts as running.
const startupHorizon = 200 * time.Second

// scriptedSource behaves as its program says; the library prints it as "scripted".
type scriptedSource struct {
	program *Startup
	start   time.Time
}

func (s scriptedSource) String() string { return "scripted" }

func (s scriptedSource) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[string]) error {
	if s.program.EarlyEvent {
		queue.Add("a")
	}
	switch s.program.Source {
	case "start_blocks":
		<-ctx.Done()
	case "start_error":
		return errors.New("no start")
	}
	return nil
}

func (s scriptedSource) WaitForSync(ctx context.Context) error {
	ready := time.After(time.Duration(s.program.SyncAt) - time.Since(s.start))
	cancelled := ctx.Done()
	switch s.program.Source {
	case "sync_never":
		ready = nil
	case "sync_ignores_ctx":
		cancelled = nil
	}
	select {
	case <-ready:
		if s.program.Source == "sync_error" {
			return errors.New("no sync")
		}
		return nil
	case <-cancelled:
		return ctx.Err()
	}
}

var _ source.TypedSyncingSource[string] = scriptedSource{}

var sources = map[string]bool{
	"sync_never": true, "sync_at": true, "sync_ignores_ctx": true, "sync_error": true,
	"start_blocks": true, "start_error": true,
}

func recordStartup(p *Startup) error {
	if !sources[p.Source] {
		return fmt.Errorf("no such source: %q", p.Source)
	}
	start := time.Now()
	o, err := options(p.Queue, func(string, int) {})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	p.ReconcileStarts, p.StartReturnedAt, p.Err = nil, -1, ""
	o.CacheSyncTimeout = time.Duration(p.CacheSyncTimeout)
	o.Reconciler = reconcile.TypedFunc[string](func(context.Context, string) (reconcile.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		p.ReconcileStarts = append(p.ReconcileStarts, int64(time.Since(start)))
		return reconcile.Result{}, nil
	})
	c, err := controller.NewTypedUnmanaged("misc-"+p.ID, o)
	if err != nil {
		return err
	}
	if err := c.Watch(scriptedSource{p, start}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer synctest.Wait()
	defer cancel()
	if p.CancelAt > 0 {
		defer time.AfterFunc(time.Duration(p.CancelAt), cancel).Stop()
	}
	returned := make(chan error, 1)
	go func() { returned <- c.Start(ctx) }()
	select {
	case err := <-returned:
		p.StartReturnedAt = int64(time.Since(start))
		if err != nil {
			p.Err = err.Error()
		}
	case <-time.After(startupHorizon):
	}
	return nil
}
