// Command object-health says what deployment tools make of objects: Flux, kubectl's apply sets and Config Sync through
// kstatus, and Argo CD through a health script, run as Argo CD runs it.
//
// It reads objects as JSON, one a line, and answers each with one line of JSON. It ends with its input.
//
//	object-health -health-script FILE < objects > answers
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The largest object that an API server stores is below 2 MiB.
const objectBytesMax = 4 << 20

// An answer is what one tool makes of an object.
type answer struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// Answers are what the tools make of one object.
type answers struct {
	Kstatus answer `json:"kstatus"`
	ArgoCD  answer `json:"argocd"`
}

func main() {
	script := flag.String("health-script", "", "the Lua script with which Argo CD judges the objects")
	flag.Parse()
	if err := run(*script, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "object-health:", err)
		os.Exit(1)
	}
}

// Run answers every object of the input.
func run(scriptPath string, input io.Reader, output io.Writer) error {
	script, err := os.ReadFile(scriptPath)
	if err != nil {
		return fmt.Errorf("-health-script: %w", err)
	}
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, objectBytesMax)
	encoder := json.NewEncoder(output)
	for lines.Scan() {
		found, err := judge(lines.Bytes(), string(script))
		if err != nil {
			return err
		}
		if err := encoder.Encode(found); err != nil {
			return err
		}
	}
	return lines.Err()
}

func judge(text []byte, script string) (*answers, error) {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(text); err != nil {
		return nil, fmt.Errorf("not an object: %w", err)
	}
	result, err := status.Compute(object)
	if err != nil {
		return nil, fmt.Errorf("kstatus: %w", err)
	}
	health, err := argoHealth(object.Object, script)
	if err != nil {
		return nil, fmt.Errorf("health script: %w", err)
	}
	return &answers{Kstatus: answer{string(result.Status), result.Message}, ArgoCD: *health}, nil
}
