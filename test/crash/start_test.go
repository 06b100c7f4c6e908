package crash

import (
	"testing"
	"time"
)

func TestMeasureStart(t *testing.T) {
	for _, deadly := range []bool{false, true} {
		n := newNode(t, deadly)
		v := aPod("p", "objects")
		must(t, n.publish(v))
		n.settled(v)
		began := time.Now()
		for range 20 {
			n.restart()
		}
		t.Log("restart", time.Since(began)/20)
		began = time.Now()
		must(t, n.publish(v))
		t.Log("republish", time.Since(began))
		must(t, n.unpublish(v))
		n.settled()
	}
}
