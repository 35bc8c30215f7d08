package supervisor

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// sink is a wire whose worker reads nothing yet.
type sink struct{}

func (sink) send([]byte) error      { return nil }
func (sink) takeBack(bool) []uint32 { return nil }

// The supervisor looks at all workers when it is woken: that must not happen for
// each request.
func TestSupervisorIsWokenWhenALimitIsNearAndWhenItIsReached(t *testing.T) {
	d := newDispatcher(zap.NewNop())
	s := &slot{wire: sink{}, dispatchState: dispatchState{ready: true, limit: 40}}
	var woken []int
	d.mu.Lock()
	for n := 1; n <= 40; n++ {
		d.send(s, &call{id: uint32(n), frame: psgi.AppendFrame(nil, psgi.TypeRequest, 0, uint32(n), nil)}, time.Now())
		select {
		case <-d.attention:
			woken = append(woken, n)
		default:
		}
	}
	d.stopped = true // its timer has nothing to do
	d.mu.Unlock()
	if len(woken) != 2 || woken[0] != 36 || woken[1] != 40 {
		t.Errorf("woken after %v requests, want after 36 and 40", woken)
	}
}
