package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/thralld/thralld/pkg/server"
)

func TestCertificatesThatExpireAreWarnedOfOnceADay(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	log := zap.New(core)
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := begin.Add(20 * 24 * time.Hour)
	certificates := []server.Certificate{
		{File: "a.pem", Names: []string{"a.test"}, NotBefore: begin, NotAfter: end},
		{File: "b.pem", Names: []string{"b.test"}, NotBefore: begin, NotAfter: end.Add(365 * 24 * time.Hour)},
	}
	var r reminder
	days := map[string]int{}
	for hour := range 24 * 22 {
		r.remind(log, certificates, begin.Add(time.Duration(hour)*time.Hour))
		r.remind(log, certificates, begin.Add(time.Duration(hour)*time.Hour)) // a reload
	}
	for _, entry := range logs.All() {
		days[entry.Message]++
		if names := entry.ContextMap()["names"]; cmp.Diff([]any{"a.test"}, names) != "" {
			t.Errorf("%q is said of %v", entry.Message, names)
		}
	}
	want := map[string]int{"certificate expires soon": 14, "certificate has expired: clients refuse it": 2}
	if diff := cmp.Diff(want, days); diff != "" {
		t.Errorf("warnings:\n%s", diff)
	}
	certificates[0].NotAfter = end.Add(365 * 24 * time.Hour) // renewed
	r.remind(log, certificates, end)
	if n := len(r.last); n != 0 {
		t.Errorf("%d certificates are still remembered", n)
	}
}

func TestCertificateOfTheFutureIsWarnedOf(t *testing.T) {
	now := time.Now()
	c := server.Certificate{NotBefore: now.Add(time.Minute), NotAfter: now.Add(365 * 24 * time.Hour)}
	if got := expiryWarning(c, now); got != "certificate is not valid yet: clients refuse it" {
		t.Errorf("%q", got)
	}
}
