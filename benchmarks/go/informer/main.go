// Command informer follows ConfigMaps with client-go's shared informer, as released, and prints what that
// cost as one JSON object. It lists, waits for the sync, tells the server to begin, and counts the updates.
// With -read it reads every object twice through the lister instead, and makes a copy of its own each time.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
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

const readsABatch = 10

// readTwice reads every object as a reconciler does, which may change what it gets: a copy of the lister's. Each
// batch is read once and then again; what was read is held until the batch is over.
func readTwice(indexer cache.Indexer) (first, again float64) {
	lister := corelisters.NewConfigMapLister(indexer)
	keys := indexer.ListKeys()
	read := func(batch []string) ([]*corev1.ConfigMap, float64) {
		held := make([]*corev1.ConfigMap, len(batch))
		start := cpu()
		for at, key := range batch {
			namespace, name, err := cache.SplitMetaNamespaceKey(key)
			must(err)
			found, err := lister.ConfigMaps(namespace).Get(name)
			must(err)
			held[at] = found.DeepCopy()
		}
		return held, cpu() - start
	}
	for batch := range slices.Chunk(keys, readsABatch) {
		held, took := read(batch)
		heldAgain, tookAgain := read(batch)
		first, again = first+took, again+tookAgain
		runtime.KeepAlive(held)
		runtime.KeepAlive(heldAgain)
	}
	return first / float64(len(keys)), again / float64(len(keys))
}

func main() {
	url := flag.String("url", "", "the server")
	form := flag.String("form", "typed", "typed or dynamic")
	events := flag.Int64("events", 0, "updates to wait for")
	read := flag.Bool("read", false, "read every object twice")
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
	if *read {
		first, again := readTwice(informer.GetIndexer())
		must(json.NewEncoder(os.Stdout).Encode(map[string]float64{"typed": first, "typed_again": again}))
		return
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
