package scale

import (
	"fmt"
	"math"
	"strconv"
)

// fill is how much of a partition's highest rate is planned with. The table of
// waiting times shows why it is not more.
const fill = 0.7

const (
	million  = 1e6
	billion  = 1e9
	trillion = 1e12
	day      = 86400.0
	month    = 30 * day
)

// answers are all tables, in the order of the page.
func answers() []answer {
	return []answer{
		{"figures", figures},
		{"waiting", waiting},
		{"growth", growth},
		{"sizes", sizes},
		{"full", full},
		{"bottlenecks", bottlenecks},
		{"keys", keys},
		{"hottest", hottest},
		{"leaders", leaders},
		{"machines", machines},
		{"rebuilds", rebuilds},
		{"regions", regions},
	}
}

func figures() Table {
	t := Table{Title: "What was measured", Header: []string{"figure", "value", "source"}}
	for _, f := range Figures() {
		t.Rows = append(t.Rows, []string{f.Name, f.Value, f.Source})
	}
	return t
}

// waiting plays one partition under more and more load.
func waiting() Table {
	t := Table{
		Title:  "One partition: how long an append takes",
		Header: []string{"store", "used", "appends/s", "mean, played", "mean, worked out", "median", "99 of 100", "99 of 100, constant work"},
	}
	for _, e := range Engines() {
		for _, used := range []float64{0.1, 0.3, 0.5, 0.7, 0.85, 0.95} {
			q := Queue{Curve: e.Curve, Arrivals: used * e.Curve.Most(), Warmup: 20_000, Count: 150_000, Seed: 1}
			even := q
			even.Work = Constant
			times, same := q.Run(), even.Run()
			t.Rows = append(t.Rows, []string{
				e.Name, percent(used), count(q.Arrivals),
				seconds(times.Mean()), seconds(e.Curve.Expected(q.Arrivals)),
				seconds(times.Quantile(0.5)), seconds(times.Quantile(0.99)), seconds(same.Quantile(0.99)),
			})
		}
	}
	return t
}

// growth says how soon a number of events is there.
func growth() Table {
	t := Table{
		Title: "How soon, and what a day brings",
		Header: []string{
			"events/s", "10^9 after", "10^12 after", "events a day", "PostgreSQL, with audit and feeds", "JetStream, 3 replicas", "and in memory",
		},
	}
	for _, rate := range []float64{1e3, 1e4, 1e5, 1e6} {
		daily := rate * day
		t.Rows = append(t.Rows, []string{
			count(rate), seconds(billion / rate), seconds(trillion / rate), count(daily),
			bytes(daily * (eventBytes + recordBytes + feedBytes)), bytes(daily * streamDisk * replicas), bytes(daily * streamMemory * replicas),
		})
	}
	return t
}

// streamSize is how many events a stream is planned with: "some tens of
// millions". It is ten times what was tested.
const streamSize = 5e7

func sizes() Table {
	row := func(name string, format func(float64) string, each float64) []string {
		return []string{name, format(billion * each), format(trillion * each)}
	}
	return Table{
		Title:  "How large",
		Header: []string{"", "10^9 events", "10^12 events"},
		Rows: [][]string{
			row("PostgreSQL: events with keys, one copy", bytes, eventBytes),
			row("PostgreSQL: audit log", bytes, recordBytes),
			row("PostgreSQL: feeds", bytes, feedBytes),
			row("PostgreSQL: all of it, primary and one standby", bytes, 2*(eventBytes+recordBytes+feedBytes)),
			row("JetStream: disk, one replica", bytes, streamDisk),
			row("JetStream: disk, three replicas", bytes, replicas*streamDisk),
			row("JetStream: memory, one replica", bytes, streamMemory),
			row("JetStream: memory, three replicas", bytes, replicas*streamMemory),
			row("JetStream: streams of 50,000,000 events", count, 1/streamSize),
			row("JetStream: cores that they take when idle", count, streamIdle/streamSize),
			row("JetStream: start of one server that holds all of it", seconds, streamStart),
			row("JetStream: the same when its index is gone", seconds, streamRescan),
		},
	}
}

// full says how long a partition has room.
func full() Table {
	t := Table{
		Title: "How soon one partition is full",
		Header: []string{
			"appends/s", "JetStream: 50,000,000 events", "16 GB of memory", "64 GB", "PostgreSQL: 1 TB with audit and feeds", "10 TB", "1 TB of events alone",
		},
	}
	for _, rate := range []float64{100, 1_000, 5_000, fill * streamMany, fill * postgresMany} {
		row := []string{count(rate), none, none, none}
		if rate <= fill*streamMany {
			row = []string{count(rate), seconds(streamSize / rate), seconds(16e9 / streamMemory / rate), seconds(64e9 / streamMemory / rate)}
		}
		all := eventBytes + recordBytes + feedBytes
		t.Rows = append(t.Rows, append(row, seconds(1e12/all/rate), seconds(1e13/all/rate), seconds(1e12/eventBytes/rate)))
	}
	return t
}

// readers is how many projections, or lanes of them, read a feed in the table of
// bottlenecks.
const readers = 20

// bottlenecks lists what each partition does with an event, slowest first.
func bottlenecks() Table {
	t := Table{
		Title:  "What gives way first: events a second of one partition, and partitions for 10^6 events a second",
		Header: []string{"", "PostgreSQL", "partitions", "JetStream", "partitions"},
	}
	row := func(name string, postgres, stream float64) {
		cells := []string{name}
		for _, rate := range []float64{postgres, stream} {
			if rate == 0 {
				cells = append(cells, none, none)
				continue
			}
			cells = append(cells, count(rate), count(math.Ceil(million/(fill*rate))))
		}
		t.Rows = append(t.Rows, cells)
	}
	e := Engines()
	t.Rows = append(t.Rows, []string{"appends to one aggregate", count(e[0].Curve.Alone()), none, count(e[1].Curve.Alone()), none})
	row("a consumer of messages on NATS", consumed, consumed)
	row("publishing on NATS", published, published)
	row("a projection, a statement an event", perRow, perRow)
	row("audit log", auditLog, 0)
	row(fmt.Sprintf("a feed that is read %d times", readers), e[0].Read/readers, e[1].Read/readers)
	row("appends of one event", e[0].Curve.Most(), e[1].Curve.Most())
	row("appends of ten events", e[0].Tens, e[1].Tens)
	row("a projection, a COPY a batch", perBatch, perBatch)
	row("a feed that is read once", e[0].Read, e[1].Read)
	return t
}

// set is a set of keys by which events are partitioned.
type set struct {
	name string
	n    int
	skew float64
	most float64 // larger keys are divided, see [Divide]; 0 for none
}

func sets() []set {
	return []set{
		{"types", 30, 1, 0},
		{"tenants", 10_000, 0, 0},
		{"tenants", 10_000, 0.8, 0},
		{"tenants", 10_000, 1, 0},
		{"tenants", 10_000, 1.2, 0},
		{"tenants, large ones divided", 10_000, 1, 0.001},
		{"tenants, large ones divided", 10_000, 1.2, 0.001},
		{"aggregates", 1_000_000, 0, 0},
		{"aggregates", 1_000_000, 0.5, 0},
		{"aggregates", 1_000_000, 0.8, 0},
	}
}

// wide is the number of partitions in tables that have one number only.
const wide = 128

// keys says how far each way of partitioning goes.
func keys() Table {
	t := Table{
		Title: fmt.Sprintf("Partitioned by what: the largest key, the largest of %d partitions, and how far it goes at %s", wide, percent(fill)),
		Header: []string{
			"keys", "number", "skew", "largest key", "largest partition",
			"PostgreSQL, at most", "for 10^6/s", "JetStream, at most", "for 10^6/s",
		},
	}
	places := Places(1_000_000)
	for _, s := range sets() {
		shares := Divide(Zipf(s.n, s.skew), s.most)
		slots := Hashed(shares, places)
		top := slots.Partitions(wide)[0]
		row := []string{s.name, count(float64(s.n)), strconv.FormatFloat(s.skew, 'f', -1, 64), percent(shares[0]), percent(top)}
		for _, e := range Engines() {
			each, needed := fill*e.Curve.Most(), none
			if n, ok := slots.Needed(million, each); ok {
				needed = count(float64(n))
			}
			row = append(row, persecond(each/top), needed)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// planned is how much of a partition's highest rate the table of skewed tenants
// gives to all partitions together.
const planned = 0.3

// hottest plays the largest and the median partition when somebody has planned
// with the mean.
func hottest() Table {
	stream := Engines()[1]
	total := planned * stream.Curve.Most() * wide
	t := Table{
		Title:  fmt.Sprintf("JetStream, %s appends/s of 10,000 tenants in %d partitions, %s of what they can do: who waits", count(total), wide, percent(planned)),
		Header: []string{"skew", "partition", "appends/s", "used", "median", "99 of 100", "backlog grows by", "as before after a lost leader"},
	}
	places := Places(10_000)
	for _, skew := range []float64{0, 0.3, 0.5, 0.6, 0.8, 1} {
		shares := Hashed(Zipf(10_000, skew), places).Partitions(wide)
		for _, p := range []struct {
			name string
			at   int
		}{{"largest", 0}, {"median", wide / 2}} {
			rate := total * shares[p.at]
			row := []string{strconv.FormatFloat(skew, 'f', -1, 64), p.name, count(rate), percent(rate / stream.Curve.Most())}
			t.Rows = append(t.Rows, append(row, play(Queue{Curve: stream.Curve, Arrivals: rate, Warmup: 5_000, Count: 100_000, Seed: 2})...))
		}
	}
	return t
}

// play says how long appends take, and what the loss of a leader costs, unless
// there are more appends than are ever served.
func play(q Queue) []string {
	if most := q.Curve.Most(); q.Arrivals >= most {
		return []string{none, none, persecond(q.Arrivals - most), none}
	}
	times, after := q.Run(), lose(q, electionMiddle).Run()
	return []string{seconds(times.Quantile(0.5)), seconds(times.Quantile(0.99)), none, seconds(after.Recovered - calm)}
}

// failover is how long PostgreSQL is away until a standby has taken over. It was
// not measured: it is what tools for it are often set to.
const failover = 30.0

// calm is how long a partition runs before its leader is lost.
const calm = 5.0

// lose returns the queue with an outage, played until its backlog is gone.
func lose(q Queue, pause float64) Queue {
	backlog := pause * q.Arrivals / (q.Curve.Most() - q.Arrivals) // seconds until it is gone
	q.Outages = []Outage{{From: calm, To: calm + pause}}
	q.Warmup = 0
	q.Count = int(q.Arrivals * (calm + pause + 1.1*backlog + 2))
	return q
}

// leaders plays the loss of a leader under more and more load.
func leaders() Table {
	t := Table{
		Title:  "One partition loses its leader",
		Header: []string{"store", "nothing for", "used", "appends/s", "waiting at most", "over 1 s", "over 10 s", "longest", "as before after"},
	}
	for _, c := range []struct {
		engine int
		pause  float64
		used   []float64
	}{
		{1, electionShort, []float64{0.3, 0.7}},
		{1, electionMiddle, []float64{0.3, 0.5, 0.7, 0.85}},
		{1, electionLong, []float64{0.3, 0.5, 0.7, 0.85}},
		{0, failover, []float64{0.3, 0.5}},
	} {
		e := Engines()[c.engine]
		for _, used := range c.used {
			q := lose(Queue{Curve: e.Curve, Arrivals: used * e.Curve.Most(), Seed: 3}, c.pause)
			times := q.Run()
			t.Rows = append(t.Rows, []string{
				e.Name, seconds(c.pause), percent(used), count(q.Arrivals), count(float64(times.Longest)),
				count(float64(times.Over(1))), count(float64(times.Over(10))), seconds(times.Max()), seconds(times.Recovered - calm),
			})
		}
	}
	return t
}

// machines says what losses of machines cost, each of which is lost once a month.
func machines() Table {
	t := Table{
		Title:  fmt.Sprintf("JetStream, %d partitions, each machine lost once a month", wide),
		Header: []string{"machines", "partitions that a loss pauses, at most", "losses a month", "one partition takes no appends, a month", "a reader of all stands still, a month"},
	}
	for _, n := range []float64{3, 12, 48, 192} {
		t.Rows = append(t.Rows, []string{
			count(n), count(max(1, math.Ceil(wide/n))), count(n),
			seconds(electionMiddle) + " to " + seconds(electionLong),
			seconds(min(n, wide)*electionMiddle) + " to " + seconds(min(n, wide)*electionLong),
		})
	}
	return t
}

func rebuilds() Table {
	t := Table{
		Title:  "How long a rebuild takes, and with how many appends a second a partition outruns it",
		Header: []string{"", "events/s", "10^9, one partition", "10^9 while 5,000/s are appended", "10^12, 128 partitions", "10^12, 1,024 partitions", "outrun at"},
	}
	const live = 5000
	for _, w := range []struct {
		name string
		rate float64
	}{
		{"reading, PostgreSQL", postgresRead},
		{"a COPY a batch", perBatch},
		{"reading, JetStream", streamRead},
		{"audit log", auditLog},
		{"a statement an event", perRow},
		{"publishing on NATS", published},
	} {
		t.Rows = append(t.Rows, []string{
			w.name, count(w.rate), seconds(billion / w.rate), seconds(billion / (w.rate - live)),
			seconds(trillion / w.rate / wide), seconds(trillion / w.rate / 1024), persecond(w.rate),
		})
	}
	return t
}

// regions adds a round trip to what was measured without one.
func regions() Table {
	t := Table{
		Title:  "A majority that is a round trip away",
		Header: []string{"store", "round trip", "one append", "one aggregate, at most", "a partition, a round at a time", "a partition, rounds overlapping", "writers that this takes"},
	}
	for _, e := range Engines() {
		for _, trip := range []float64{0, 0.002, 0.02, 0.08, 0.15} {
			round := float64(e.Curve.Widest()) / e.Curve.Most()
			t.Rows = append(t.Rows, []string{
				e.Name, count(trip*1e3) + " ms", seconds(1/e.Curve.Alone() + trip), persecond(1 / (1/e.Curve.Alone() + trip)),
				persecond(float64(e.Curve.Widest()) / (round + trip)), persecond(e.Curve.Most()), count(math.Ceil(e.Curve.Most() * (round + trip))),
			})
		}
	}
	return t
}
