package oracle

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

// TestOracle is the command: virtual time (testing/synctest) is given to tests only. Without
// arguments it records the files beside it again and compares, as any test does.
func TestOracle(t *testing.T) {
	klog.SetLogger(logr.Discard()) // scripted panics are no news
	args := flag.Args()
	if len(args) == 0 {
		paths, _ := filepath.Glob("../traces/*.jsonl")
		args = append([]string{"check"}, paths...)
		if code := run(t, args); code != 0 {
			t.Fail()
		}
		return
	}
	os.Exit(run(t, args))
}

// run gives the exit code: 0 well, 1 a difference, 2 the command could not do its work.
func run(t *testing.T, args []string) int {
	commands := map[string]func(*testing.T, []string) (int, error){
		"record": recordCommand, "generate": generateCommand, "check": checkCommand,
	}
	command, known := commands[args[0]]
	if !known {
		fmt.Fprintf(os.Stderr, "no such command: %s\n", args[0])
		return 2
	}
	code, err := command(t, args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return code
}

func recordCommand(t *testing.T, args []string) (int, error) {
	flags := flag.NewFlagSet("record", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	times := flags.Int("times", 1, "record each program so often; drop those whose outcomes differ")
	if err := flags.Parse(args); err != nil || flags.NArg() != 2 || *times < 1 {
		return 0, fmt.Errorf("usage: oracle record [-times N] IN.jsonl OUT.jsonl")
	}
	lines, err := readLines(flags.Arg(0))
	if err != nil {
		return 0, err
	}
	var recorded [][]byte
	for i, line := range lines {
		again, stable, err := recordStable(t, line, *times)
		if err != nil {
			return 0, fmt.Errorf("%s, program %d: %w", flags.Arg(0), i+1, err)
		}
		if !stable {
			program, _ := parse(line)
			fmt.Fprintf(os.Stderr, "dropped %s: its outcomes differ between recordings\n", idOf(program))
			continue
		}
		recorded = append(recorded, again)
	}
	return 0, writeLines(flags.Arg(1), recorded)
}

func checkCommand(t *testing.T, paths []string) (int, error) {
	if len(paths) == 0 {
		return 0, fmt.Errorf("usage: oracle check FILE.jsonl...")
	}
	code := 0
	slices.Sort(paths)
	for _, path := range paths {
		lines, err := readLines(path)
		if err != nil {
			return 0, err
		}
		differ, first := 0, ""
		for i, line := range lines {
			again, err := record(t, line)
			if err != nil {
				return 0, fmt.Errorf("%s, program %d: %w", path, i+1, err)
			}
			if !bytes.Equal(line, again) {
				if program, _ := parse(line); differ == 0 {
					first = idOf(program)
				}
				differ++
			}
		}
		if differ == 0 {
			fmt.Printf("%s: same (%d lines)\n", filepath.Base(path), len(lines))
			continue
		}
		fmt.Printf("%s: %d of %d lines differ, the first is %s\n", filepath.Base(path), differ, len(lines), first)
		code = 1
	}
	return code, nil
}

func generateCommand(t *testing.T, args []string) (int, error) {
	flags := flag.NewFlagSet("generate", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	kind := flags.String("kind", "", "classic, priority or controller")
	seed := flags.Int64("seed", 1, "seed of the first program; the next has the next seed")
	count := flags.Int("count", 1, "number of programs")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		return 0, fmt.Errorf("usage: oracle generate -kind classic|priority|controller [-seed N] [-count N] OUT.jsonl")
	}
	var lines [][]byte
	for i := range *count {
		program, err := generate(t, *kind, *seed+int64(i))
		if err != nil {
			return 0, err
		}
		line, err := render(program)
		if err != nil {
			return 0, err
		}
		lines = append(lines, line)
	}
	return 0, writeLines(flags.Arg(0), lines)
}
