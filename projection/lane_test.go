package projection_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// TestTrapTheHashOfLanesNeverChanges has golden values, since checkpoints of
// lanes are worth nothing if a key comes to stand in another lane: what another
// process or another release passed over would never be applied.
func TestTrapTheHashOfLanesNeverChanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key   string
		hash  uint64 // 64-bit FNV-1a; those of "" to "foobar" are published
		slot  int
		lanes [4]int // of 3, 8, 16 and 1024
	}{
		{"", 0xcbf29ce484222325, 805, [4]int{2, 6, 12, 805}},
		{"a", 0xaf63dc4c8601ec8c, 140, [4]int{0, 1, 2, 140}},
		{"b", 0xaf63df4c8601f1a5, 421, [4]int{1, 3, 6, 421}},
		{"c", 0xaf63de4c8601eff2, 1010, [4]int{2, 7, 15, 1010}},
		{"d", 0xaf63d94c8601e773, 883, [4]int{2, 6, 13, 883}},
		{"e", 0xaf63d84c8601e5c0, 448, [4]int{1, 3, 7, 448}},
		{"f", 0xaf63db4c8601ead9, 729, [4]int{2, 5, 11, 729}},
		{"fo", 0x08985907b541d342, 834, [4]int{2, 6, 13, 834}},
		{"foo", 0xdcb27518fed9d577, 375, [4]int{1, 2, 5, 375}},
		{"foob", 0xdd120e790c2512af, 687, [4]int{2, 5, 10, 687}},
		{"fooba", 0xcac165afa2fef40a, 10, [4]int{0, 0, 0, 10}},
		{"foobar", 0x85944171f73967e8, 1000, [4]int{2, 7, 15, 1000}},
		{"Order/01890a5d-ac96-774b-bcce-b302099a8057", 0x0097f4907e02d6ce, 718, [4]int{2, 5, 11, 718}},
		{"acme/Order/01890a5d-ac96-774b-bcce-b302099a8057", 0xf0ea26deee747a03, 515, [4]int{1, 4, 8, 515}},
		{"user:7f3a", 0xc3486cf3d0284295, 661, [4]int{1, 5, 10, 661}},
		{"User:7f3a", 0xc419886d54a10df5, 501, [4]int{1, 3, 7, 501}},
		{"Größe/Übung", 0x70709f5234ad2e9e, 670, [4]int{1, 5, 10, 670}},
		{"注文/42", 0xde17cd0e5cc4170e, 782, [4]int{2, 6, 12, 782}},
		{"🙂", 0xff026b387504e24b, 587, [4]int{1, 4, 9, 587}},
		{"\u00e9", 0x0ac21707b7181e01, 513, [4]int{1, 4, 8, 513}},  // é in one character
		{"e\u0301", 0xc0c9d418ee802e1f, 543, [4]int{1, 4, 8, 543}}, // and in two: bytes count, not what they look like
	} {
		assert.Equal(t, c.slot, int(c.hash%1024), c.key)
		assert.Equal(t, c.slot, projection.Slot(c.key), c.key)
		for i, lanes := range []int{3, 8, 16, 1024} {
			assert.Equal(t, c.lanes[i], projection.LaneOf(c.key, lanes), "%q of %d", c.key, lanes)
		}
	}
	assert.Equal(t, 1024, projection.Slots)
}

// TestTrapTheKeyOfAnAggregateNeverChanges has golden values of what is hashed.
func TestTrapTheKeyOfAnAggregateNeverChanges(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	for want, e := range map[string]event.Event{
		"Order/01890a5d-ac96-774b-bcce-b302099a8057":               {AggregateType: "Order"},
		"acme/Order/01890a5d-ac96-774b-bcce-b302099a8057":          {TenantID: "acme", AggregateType: "Order"},
		"a%2Fb/Or%25der/01890a5d-ac96-774b-bcce-b302099a8057":      {TenantID: "a/b", AggregateType: "Or%der"},
		"a/b%2FOrder/01890a5d-ac96-774b-bcce-b302099a8057":         {TenantID: "a", AggregateType: "b/Order"},
		"Größe/01890a5d-ac96-774b-bcce-b302099a8057":               {AggregateType: "Größe"},
		"ACME/ORDER/01890a5d-ac96-774b-bcce-b302099a8057":          {TenantID: "ACME", AggregateType: "ORDER"},
		"acme/order.line/01890a5d-ac96-774b-bcce-b302099a8057":     {TenantID: "acme", AggregateType: "order.line"},
		"acme/order_line v2/01890a5d-ac96-774b-bcce-b302099a8057":  {TenantID: "acme", AggregateType: "order_line v2"},
		"acme%2F/%2Forder/01890a5d-ac96-774b-bcce-b302099a8057":    {TenantID: "acme/", AggregateType: "/order"},
		"%252F/%252F%25/01890a5d-ac96-774b-bcce-b302099a8057":      {TenantID: "%2F", AggregateType: "%2F%"},
		"tenant-1/Order:Line/01890a5d-ac96-774b-bcce-b302099a8057": {TenantID: "tenant-1", AggregateType: "Order:Line"},
	} {
		e.AggregateID = id
		assert.Equal(t, want, projection.DefaultSequenceKey(e))
	}
}

// sequenceKeys returns the keys of so many sequences, of several makes.
func sequenceKeys(t *testing.T, n int) map[string][]string {
	t.Helper()
	made := make(map[string][]string)
	random := rand.NewChaCha8([32]byte{1})
	for i := range n {
		id, err := uuid.NewRandomFromReader(random)
		require.NoError(t, err)
		made["random ids"] = append(made["random ids"], id.String())
		made["ids with a time in front"] = append(made["ids with a time in front"], fmt.Sprintf("Order/0193%08x-7%03x-8000-%012x", i/7, i%7, i))
		made["numbers"] = append(made["numbers"], "user:"+strconv.Itoa(i))
	}
	return made
}

func TestLanesAreFilledEvenly(t *testing.T) {
	t.Parallel()
	const n, lanes = 100_000, 8
	for name, all := range sequenceKeys(t, n) {
		var filled [lanes]int
		for _, key := range all {
			filled[projection.LaneOf(key, lanes)]++
		}
		for lane, got := range filled {
			assert.InEpsilon(t, n/lanes, got, 0.05, "lane %d of %s", lane, name)
		}
	}
}

// TestEveryLaneHasItsRangeOfSlots goes through all slots for many numbers of
// lanes: lanes follow each other, none is empty, and the longest has one slot
// more than the shortest.
func TestEveryLaneHasItsRangeOfSlots(t *testing.T) {
	t.Parallel()
	of := make(map[int]string, projection.Slots) // a key for each slot
	for i := 0; len(of) < projection.Slots; i++ {
		key := strconv.Itoa(i)
		of[projection.Slot(key)] = key
	}
	for _, lanes := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 31, 32, 33, 60, 64, 100, 127, 128, 129, 333, 511, 512, 513, 1000, 1023, 1024} {
		inOrder := make([]int, projection.Slots) // the lane of each slot
		length := make([]int, lanes)
		for slot := range inOrder {
			inOrder[slot] = projection.LaneOf(of[slot], lanes)
			length[inOrder[slot]]++
		}
		require.True(t, slices.IsSorted(inOrder), "%d lanes", lanes)
		require.GreaterOrEqual(t, slices.Min(length), projection.Slots/lanes, "%d lanes", lanes)
		require.LessOrEqual(t, slices.Max(length), (projection.Slots+lanes-1)/lanes, "%d lanes", lanes)
	}
}

func TestLanesOfAnyKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key, other := rapid.String().Draw(t, "key"), rapid.String().Draw(t, "other")
		lanes := rapid.IntRange(-1, 2*projection.Slots).Draw(t, "lanes")
		lane := projection.LaneOf(key, lanes)
		assert.GreaterOrEqual(t, lane, 0)
		assert.Less(t, lane, max(1, min(lanes, projection.Slots)))
		if lanes <= 1 {
			assert.Zero(t, lane)
		}
		if lanes > projection.Slots {
			assert.Equal(t, projection.Slot(key), lane, "there are no more lanes than slots")
		}
		if projection.Slot(key) <= projection.Slot(other) {
			assert.LessOrEqual(t, lane, projection.LaneOf(other, lanes))
		}
		if lanes >= 1 && lanes <= projection.Slots/2 {
			assert.Equal(t, lane, projection.LaneOf(key, 2*lanes)/2, "twice as many lanes divide each in two")
		}
	})
}
