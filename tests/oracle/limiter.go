package oracle

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"
)

type rateLimiter = workqueue.TypedRateLimiter[string]

func newLimiter(l *Limiter) (rateLimiter, error) {
	if l == nil {
		return nil, fmt.Errorf("a queue program needs a limiter")
	}
	switch l.Type {
	case "exponential":
		return workqueue.NewTypedItemExponentialFailureRateLimiter[string](
			time.Duration(l.Base), time.Duration(l.Max)), nil
	case "fast_slow":
		return workqueue.NewTypedItemFastSlowRateLimiter[string](
			time.Duration(l.Fast), time.Duration(l.Slow), l.MaxFast), nil
	case "bucket":
		return &workqueue.TypedBucketRateLimiter[string]{
			Limiter: rate.NewLimiter(rate.Limit(l.QPS), l.Burst)}, nil
	case "max_of":
		var parts []rateLimiter
		for _, part := range l.Limiters {
			limiter, err := newLimiter(part)
			if err != nil {
				return nil, err
			}
			parts = append(parts, limiter)
		}
		return workqueue.NewTypedMaxOfRateLimiter(parts...), nil
	case "with_max_wait":
		inner, err := newLimiter(l.Limiter)
		if err != nil {
			return nil, err
		}
		return workqueue.NewTypedWithMaxWaitRateLimiter(inner, time.Duration(l.Max)), nil
	}
	return nil, fmt.Errorf("no such limiter: %q", l.Type)
}

// callsAfterForget is how often a table asks again once the first key is forgotten.
const callsAfterForget = 5

func recordLimiter(p *LimiterTable) error {
	if len(p.Keys) == 0 || p.ForgetBefore < 1 || p.ForgetBefore > math.MaxInt32 {
		return fmt.Errorf("keys and forget_before are needed")
	}
	limiter, err := newLimiter(p.Limiter)
	if err != nil {
		return err
	}
	ask := func(i int) int64 {
		return int64(limiter.When(p.Keys[i%len(p.Keys)]))
	}
	p.Delays, p.NumRequeues, p.DelaysAfterForget = nil, nil, nil
	for i := range p.ForgetBefore {
		p.Delays = append(p.Delays, ask(i))
		p.NumRequeues = append(p.NumRequeues, limiter.NumRequeues(p.Keys[i%len(p.Keys)]))
		time.Sleep(time.Duration(p.Gap))
	}
	limiter.Forget(p.Keys[0])
	for i := range callsAfterForget {
		p.DelaysAfterForget = append(p.DelaysAfterForget, ask(i))
		time.Sleep(time.Duration(p.Gap))
	}
	return nil
}
