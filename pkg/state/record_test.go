package state

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var sortedStrings = cmpopts.SortSlices(func(a, b string) bool { return a < b })

func TestRecordFormat(t *testing.T) {
	// Fixed here, because records must survive an upgrade of the driver. The
	// checksum is sha256sum's of "3\nkeydocument".
	want := "regcred-record/1 b42086ac76e902fe584708365fa06bd099a7dc10493eac7bb96f4c0e1ad99ffc 3\nkeydocument"
	if diff := cmp.Diff(want, string(encodeRecord("key", []byte("document")))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	whole := encodeRecord("csi-1", []byte(`{"target":"/var/lib/kubelet"}`))
	f.Add(whole)
	f.Add(encodeRecord("", nil))
	f.Add(whole[:len(whole)-3])
	f.Add(bytes.Replace(whole, []byte(" 5\n"), []byte(" +5\n"), 1))
	f.Add(bytes.Replace(whole, []byte(" 5\n"), []byte(" 99999999999999999999\n"), 1))
	f.Add([]byte(recordMagic + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		original := bytes.Clone(data)
		key, document, err := decodeRecord(data)
		if err != nil {
			if key != "" || document != nil {
				t.Errorf("an error and yet key %q, document %q", key, document)
			}
			return
		}
		// Whole means: exactly what encodeRecord writes, to the byte.
		if !slices.Equal(encodeRecord(key, document), original) {
			t.Errorf("%q is accepted as key %q and document %q", original, key, document)
		}
	})
}
