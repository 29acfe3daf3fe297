// Command informer follows ConfigMaps with client-go's shared informer, as released, and prints what that
// cost as one JSON object. It lists, waits for the sync, tells the server to begin, and counts the updates.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Figures is the output.
type Figures struct {
	ListCPU     float64 `json:"list_cpu"`
	ListWall    float64 `json:"list_wall"`
	WatchCPU    float64 `json:"watch_cpu"`
	WatchWall   float64 `json:"watch_wall"`
	ListBytes   float64 `json:"list_bytes"`
	PeakBytes   float64 `json:"peak_bytes"`
	ObjectsSeen int     `json:"objects"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func cpu() float64 {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

// memory returns a line of /proc/self/status in bytes.
func memory(line string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	must(err)
	for _, each := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(each, line+":") {
			kilobytes, err := strconv.ParseFloat(strings.Fields(each)[1], 64)
			must(err)
			return kilobytes * 1024
		}
	}
	return 0
}

func settled() float64 {
	debug.FreeOSMemory()
	return memory("VmRSS")
}

func informerOf(form string, config *rest.Config) cache.SharedIndexInformer {
	if form == "dynamic" {
		resource := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
		client := dynamic.NewForConfigOrDie(config)
		return dynamicinformer.NewDynamicSharedInformerFactory(client, 0).ForResource(resource).Informer()
	}
	client := kubernetes.NewForConfigOrDie(config)
	return informers.NewSharedInformerFactory(client, 0).Core().V1().ConfigMaps().Informer()
}

func byLabel(object any) ([]string, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return nil, err
	}
	return []string{accessor.GetLabels()["app"]}, nil
}

func main() {
	url := flag.String("url", "", "the server")
	form := flag.String("form", "typed", "typed or dynamic")
	events := flag.Int64("events", 0, "updates to wait for")
	flag.Parse()
	config := &rest.Config{Host: *url, QPS: -1}
	config.ContentType = "application/json"
	informer := informerOf(*form, config)
	// The factories bring an index by namespace.
	must(informer.AddIndexers(cache.Indexers{"app": byLabel}))
	var seen atomic.Int64
	all := make(chan struct{})
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(any, any) {
			if seen.Add(1) == *events {
				close(all)
			}
		},
	})
	must(err)
	before := settled()
	stop := make(chan struct{})
	cpuStart, start := cpu(), time.Now()
	go informer.Run(stop)
	for !informer.HasSynced() {
		time.Sleep(time.Millisecond)
	}
	figures := Figures{ListCPU: cpu() - cpuStart, ListWall: time.Since(start).Seconds()}
	figures.ObjectsSeen = len(informer.GetStore().ListKeys())
	figures.PeakBytes = memory("VmHWM") - before
	figures.ListBytes = settled() - before
	cpuStart, start = cpu(), time.Now()
	answer, err := http.Post(*url+"/begin", "text/plain", nil)
	must(err)
	must(answer.Body.Close())
	<-all
	figures.WatchCPU, figures.WatchWall = cpu()-cpuStart, time.Since(start).Seconds()
	close(stop)
	must(json.NewEncoder(os.Stdout).Encode(figures))
}
