// Command probe tells what a pod sees: who it is, and how the API server answers it by address and by name. Then it
// answers on port 8080 until it is told to end.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	fmt.Printf("user %d\n", os.Getuid())
	client, err := client()
	if err != nil {
		fmt.Println("no account:", err)
	} else {
		ask(client, "by address", os.Getenv("KUBERNETES_SERVICE_HOST"))
		ask(client, "by name", "kubernetes.default.svc.cluster.local")
	}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(answer)}
	go func() { fmt.Println("serving:", server.ListenAndServe()) }()
	<-ended.Done()
}

func answer(response http.ResponseWriter, _ *http.Request) {
	name, _ := os.Hostname()
	fmt.Fprintln(response, name)
}

// client trusts the cluster's authority and shows the pod's own token.
func client() (*http.Client, error) {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	return &http.Client{Timeout: 10 * time.Second, Transport: transport}, nil
}

func ask(client *http.Client, how string, host string) {
	token, err := os.ReadFile(account + "token")
	if err != nil {
		fmt.Println(how, err)
		return
	}
	request, err := http.NewRequest(http.MethodGet, "https://"+host+"/api/v1/namespaces/default/secrets", nil)
	if err != nil {
		fmt.Println(how, err)
		return
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	response, err := client.Do(request)
	if err != nil {
		fmt.Println(how, err)
		return
	}
	defer response.Body.Close()
	fmt.Println(how, response.Status)
}
