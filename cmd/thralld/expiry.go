package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/server"
)

const (
	expiresSoon   = 14 * 24 * time.Hour // before its end a certificate is worth a warning
	remindEvery   = 24 * time.Hour      // while that is so
	expiryChecked = time.Hour           // so that renewed ones are looked at, too
)

// reminder warns of certificates that expire, of each once a day.
type reminder struct {
	mu   sync.Mutex
	last map[string]time.Time // by file, names and end
}

// watchExpiry warns until ctx is done.
func (d *daemon) watchExpiry(ctx context.Context) {
	tick := time.NewTicker(expiryChecked)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			d.expiry.remind(d.log, d.front.Certificates(), now)
		case <-ctx.Done():
			return
		}
	}
}

// remind warns of those that are due at that time.
func (r *reminder) remind(log *zap.Logger, certificates []server.Certificate, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reminded := make(map[string]time.Time)
	for _, c := range certificates {
		warning := expiryWarning(c, now)
		if warning == "" {
			continue
		}
		key := strings.Join(append([]string{c.File, c.NotAfter.String()}, c.Names...), " ")
		last, known := r.last[key]
		if !known || now.Sub(last) >= remindEvery {
			last = now
			log.Warn(warning, zap.Strings("names", c.Names), zap.String("file", c.File),
				zap.Time("not_before", c.NotBefore), zap.Time("not_after", c.NotAfter))
		}
		reminded[key] = last
	}
	r.last = reminded
}

// expiryWarning says what is amiss with the time of a certificate, or "".
func expiryWarning(c server.Certificate, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return "certificate has expired: clients refuse it"
	case now.Before(c.NotBefore):
		return "certificate is not valid yet: clients refuse it"
	case c.NotAfter.Sub(now) < expiresSoon:
		return "certificate expires soon"
	}
	return ""
}
