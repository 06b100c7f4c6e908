package credentials

// backlog are the renewals that wait for a worker, and the count of those
// under way. Who writes Connectors chooses how long their providers take, so
// the tenants, told apart by the Connectors' namespaces, take turns: the one
// with the fewest renewals under way is next, and within it who waits longest.
// The zero value is ready.
type backlog struct {
	waiting map[string][]*shared // by namespace, never empty
	flying  map[string]int       // by namespace, never zero
	all     int                  // under way
}

// push lets a renewal wait.
func (b *backlog) push(s *shared) {
	if b.waiting == nil {
		b.waiting, b.flying = map[string][]*shared{}, map[string]int{}
	}
	tenant := s.connector.Ref.Namespace
	b.waiting[tenant] = append(b.waiting[tenant], s)
}

// pop gives the next renewal, unless none waits or all workers are at it.
func (b *backlog) pop() (*shared, bool) {
	if b.all >= renewalWorkers {
		return nil, false
	}
	var next *shared
	var fewest int
	for tenant, queue := range b.waiting {
		first, flying := queue[0], b.flying[tenant]
		if next == nil || flying < fewest || flying == fewest && first.dueSince.Before(next.dueSince) {
			next, fewest = first, flying
		}
	}
	if next == nil {
		return nil, false
	}
	tenant := next.connector.Ref.Namespace
	if b.waiting[tenant] = b.waiting[tenant][1:]; len(b.waiting[tenant]) == 0 {
		delete(b.waiting, tenant)
	}
	return next, true
}

// started counts a renewal that is under way.
func (b *backlog) started(s *shared) {
	b.flying[s.connector.Ref.Namespace]++
	b.all++
}

// ended counts one that is over.
func (b *backlog) ended(s *shared) {
	tenant := s.connector.Ref.Namespace
	if b.flying[tenant]--; b.flying[tenant] == 0 {
		delete(b.flying, tenant)
	}
	b.all--
}
